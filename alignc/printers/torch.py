"""Print a node as torch source: one expression of an emitted `loss.py`.

Names and numbers in it are the compiler's own; no text of a spec ever gets here. Sums over a response are taken in
float64, and every batch reduction at the root becomes this micro-batch's share of the global one. What a row's loss
reads of other rows is a statistic: computed first, without gradient, over the whole global batch.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from alignc.contract.outputs import OUTPUTS, Per
from alignc.contract.responses import COMPLETIONS
from alignc.graph.build import is_unit_factor, negate
from alignc.graph.functions import FUNCTIONS
from alignc.graph.nodes import (
    Add,
    Apply,
    Column,
    Constant,
    GroupSize,
    Length,
    Logp,
    Multiply,
    Named,
    Node,
    Output,
    Parameter,
    Position,
    Power,
    Reduce,
    Stop,
    UnitFactor,
)
from alignc.graph.types import CONSTANT
from alignc.graph.walk import children
from alignc.lower.statistics import rows_of
from alignc.printers.padding import breaks_at_padding
from alignc.printers.torch_names import RESERVED

__all__ = ["Printer", "negative", "without_unit"]

SUM, PRODUCT, UNARY, ATOM = range(4)
Shown = tuple[str, int]
"""What was printed, and its precedence."""


class Printer:
    """Prints expressions, and remembers which small functions they call and which values they are made of."""

    def __init__(self, known: Mapping[Node, str], named: Container[str] = ()) -> None:
        self.statistics, self.named = known, named
        self.tools: set[str] = set()
        self.names: dict[Parameter, str] = {}
        self.values: dict[Node, str] = {}
        """The names of values that have a line of their own."""
        self.same: dict[Node, str] = {}
        """The names of expressions that such a line computes."""
        self.late = False
        """Whether metrics are printed. No gradient passes there, so that any expression can be printed by its name."""
        self.masks: dict[str, str] = {}
        """The names of masks that have a line of their own, by response."""
        self.trace: list[tuple[Node, str]] = []
        """The values that were printed since the trace was last emptied."""

    def parameter(self, node: Parameter) -> str:
        """Choose a Python name: the field's, numbered where two share it."""
        if node not in self.names:
            base = node.name.rpartition(".")[2].rstrip("_") or "value"
            base = f"{base}_" if base in RESERVED or base in self.named else base
            taken = set(self.names.values())
            self.names[node] = next(
                c for c in (base, *(f"{base}_{i}" for i in range(2, 100))) if c not in taken
            )
        return self.names[node]

    def metric(self, node: Node) -> str:
        """Print a metric's share; a number that is the whole batch's is spread over the rows."""
        if any(isinstance(n, Reduce) and n.over == "batch" for n in self.reached(node)):
            shown = self.show(node)[0]
            return f"{shown}.detach()" if shown.isidentifier() else shown
        self.tools.add("part")
        return f"{self.bracketed(node, UNARY)} * part(batch, totals)"

    def reached(self, *roots: Node) -> set[Node]:
        """Find what values are made of, where statistics are given."""
        found, open_nodes = set[Node](), list(roots)
        while open_nodes:
            node = open_nodes.pop()
            if node not in found and node not in self.statistics:
                found.add(node)
                open_nodes.extend(children(node))
        return found

    def stacked(self, node: Node) -> str:
        """Print the row values of a statistic: [rows], or [rows, 2] where two are matched."""
        rows = [self.show(r)[0] for r in rows_of(node)]
        return rows[0] if len(rows) == 1 else f"torch.stack([{', '.join(rows)}], -1)"

    # ---- nodes --------------------------------------------------------------------------------------------

    def show(self, node: Node) -> Shown:
        """Print a node, by its name where it has one, with the precedence of what was printed."""
        name = None if node in self.statistics else self.named_as(node)
        shown = (name, ATOM) if name else self.written(node)
        self.trace.append((node, shown[0]))
        return shown

    def named_as(self, node: Node) -> str | None:
        """Find the name of a value.

        A trained expression that the loss computes twice stays written out: one name would sum its two gradients first.
        """
        shared = self.late or not node.type.trained or isinstance(node, Logp | Output)
        return self.values.get(node) or (self.same.get(node) if shared else None)

    def defined(self, node: Node) -> str:
        """Print the expression of a value that has a line of its own."""
        made = node.argument if isinstance(node, Named) else node
        return (self.show(made) if isinstance(made, Named) else self.written(made))[0]

    def written(self, node: Node) -> Shown:
        """Print a node as an expression over its arguments."""
        if node in self.statistics:
            return f'batch["statistic/{self.statistics[node]}"]', ATOM
        match node:
            case Constant(value=value):
                return repr(float(value)), ATOM if value >= 0 else UNARY
            case Parameter():
                return self.parameter(node), ATOM
            case UnitFactor():
                return "1.0", ATOM
            case Named(name=name):
                return name, ATOM
            case Stop(argument=argument):
                return f"{self.bracketed(argument, ATOM)}.detach()", ATOM
        return self.leaf(node) or self.compound(node)

    def leaf(self, node: Node) -> Shown | None:
        """Print an input."""
        match node:
            case Column(name=name, response=response):
                return f'batch["column/{name}{f"/{response}" if response else ""}"]', ATOM
            case Length(response=response):
                return self.tool("length", response), ATOM
            case Position(response=response):
                return self.tool("position", response), ATOM
            case GroupSize():
                return self.tool("group_size", COMPLETIONS), ATOM
            case Logp(model=model, response=response):
                return f'batch["{model}/{response}"]', ATOM
            case Output(quantity=quantity, response=response):
                of = "" if OUTPUTS[quantity].per == Per.PROMPT else f"/{response}"
                return f'batch["{quantity}{of}"]', ATOM
        return None

    def mask(self, response: str) -> str:
        """Print the mask of a response's tokens."""
        return self.masks.get(response, f'batch["mask/{response}"]')

    def tool(self, name: str, response: str, *arguments: str) -> str:
        """Call a small function on values and a response's mask."""
        self.tools.add(name)
        return f"{name}({', '.join([*arguments, self.mask(response)])})"

    def compound(self, node: Node) -> Shown:
        """Print a node that has arguments."""
        match node:
            case Add(terms=terms):
                return self.addition([self.spread(t, node, SUM) for t in terms]), SUM
            case Multiply(factors=factors):
                return self.product(factors, node)
            case Power(base=base, exponent=n):
                return self.product((node,), node) if n < 0 else (self.power(base, n), UNARY)
            case Apply(function="step", arguments=(argument,)):
                return f"({self.above_zero(argument)}).double()", ATOM
            case Apply(function="clip", arguments=(argument, *bounds)) if all(
                a.type.axis == CONSTANT for a in bounds
            ):
                shown = [self.show(a)[0] for a in (argument, *bounds)]
                return f"torch.clamp({', '.join(shown)})", ATOM
            case Apply(function=function, arguments=arguments):
                return self.call(function, arguments, node)
            case Reduce(kind=kind, over=over, argument=argument):
                return self.reduction(kind, over, argument)
        raise TypeError(f"cannot print {type(node).__name__}")

    def power(self, base: Node, exponent: int) -> str:
        """Print a power as it is usually laid out: x**2, but (a + b) ** 2."""
        shown = self.bracketed(base, ATOM)
        return f"{shown}**{exponent}" if shown.isidentifier() else f"{shown} ** {exponent}"

    def present(self, shown: str, node: Node) -> str:
        """Print an argument that has no number where a group has no response."""
        return self.tool("present", COMPLETIONS, shown) if node.type.axis.grouped else shown

    # ---- functions ----------------------------------------------------------------------------------------

    def call(self, function: str, arguments: tuple[Node, ...], node: Node) -> Shown:
        """Print a call of a function of the table."""
        if function in GROWING and _by_token(arguments[0]):
            shown = f"{self.bracketed(arguments[0], ATOM)}.double()"
        elif breaks_at_padding(node):
            shown = ", ".join(self.present(self.argument(a, node), a) for a in arguments)
        elif function == "softplus" and negative(arguments[0]):
            return f"-F.logsigmoid({self.argument(negate(arguments[0]), node)})", UNARY
        else:
            shown = ", ".join(self.argument(a, node) for a in arguments)
        self.tools |= {function} & {"log_odds", "log1mexp", "at_most"}
        row = FUNCTIONS[function].torch.format(shown)
        return row, UNARY if row.startswith("-") else ATOM

    def argument(self, node: Node, into: Node) -> str:
        """Print an argument of a function; torch takes no plain number there."""
        shown = self.spread(node, into, SUM)
        if node.type.axis != CONSTANT:
            return shown
        self.tools.add("number")
        return f"number({shown})"

    def above_zero(self, node: Node) -> str:
        """Print x > 0; of a difference, a > b, which is the same in floating point."""
        match node:
            case Add(terms=(first, second)) if negative(first) != negative(second):
                less, more = (first, second) if negative(first) else (second, first)
                left, right = self.spread(more, node, SUM), self.spread(negate(less), node, SUM)
                return f"{left} > {right}" if more.type.axis != CONSTANT else f"{right} < {left}"
            case Multiply() if negative(node):
                return f"{self.show(negate(node))[0]} < 0"
        return f"{self.show(node)[0]} > 0"

    def spread(self, node: Node, into: Node, at_least: int) -> str:
        """Print an argument, with axes added where it is spread over a finer one."""
        missing = depth(into) - depth(node)
        if missing <= 0 or node.type.axis.single:
            return self.bracketed(node, at_least) if at_least else self.show(node)[0]
        places = f"[{', '.join([':'] * depth(node) + ['None'] * missing)}]"
        if at_least == SUM and negative(node) and node not in self.values:
            return f"-{self.bracketed(negate(node), ATOM)}{places}"
        return f"{self.bracketed(node, ATOM)}{places}"

    # ---- sums and products --------------------------------------------------------------------------------

    def addition(self, shown: list[str]) -> str:
        """Print a sum."""
        first, *rest = sorted(shown, key=lambda s: s.startswith("-"))
        return first + "".join(f" - {s[1:]}" if s.startswith("-") else f" + {s}" for s in rest)

    def product(self, factors: tuple[Node, ...], node: Node) -> Shown:
        """Print a product; negative powers become divisions."""
        kept = [f for f in factors if not is_unit_factor(f)]
        if len(kept) == 1 and not isinstance(kept[0], Power):
            return self.show(kept[0])
        sign = "-" if negative(node) else ""
        if sign and self.named_as(rest := negate(node)):
            return f"-{self.show(rest)[0]}", UNARY
        if average := self.average([f for f in kept if f != Constant(-1.0)]):
            return sign + average, UNARY if sign else ATOM
        above, below = [], []
        for factor in kept:
            if isinstance(factor, Constant):
                above += [repr(abs(factor.value))] if abs(factor.value) != 1 else []
            elif isinstance(factor, Power) and factor.exponent < 0:
                base = factor.base if factor.exponent == -1 else Power(factor.base, -factor.exponent)
                shown = self.spread(base, node, ATOM)
                below.append(self.present(shown, base) if breaks_at_padding(factor) else shown)
            else:
                above.append(self.spread(factor, node, UNARY))
        return sign + " / ".join([" * ".join(above) or "1.0", *below]), PRODUCT

    def average(self, factors: list[Node]) -> str | None:
        """Print a sum over tokens, a group or the batch's tokens that is divided by their number."""
        match factors:
            case [Reduce(kind="sum") as total, Power(exponent=-1)] if total in self.values:
                return None
            case [Reduce(over="token", argument=argument), Power(base=Length(), exponent=-1)]:
                return self.tool("token_mean", argument.type.axis.response, self.show(argument)[0])
            case [Reduce(kind="sum", over="group", argument=argument), Power(base=GroupSize(), exponent=-1)]:
                return self.tool("group_mean", COMPLETIONS, self.show(argument)[0])
            case [
                Reduce(
                    kind="sum", over="batch", argument=Reduce(kind="sum", argument=Reduce() as tokens) as rows
                ),
                Power(base=Reduce(over="batch", argument=counted), exponent=-1),
            ] if (tokens.over, self.total(counted)) == ("token", (TOKENS, ATOM)) and not {
                tokens,
                rows,
            } & self.values.keys():
                return f"{self.tool('global_token_mean', COMPLETIONS, self.show(tokens.argument)[0])[:-1]}, totals)"
        return None

    # ---- reductions ---------------------------------------------------------------------------------------

    def reduction(self, kind: str, over: str, argument: Node) -> Shown:
        """Print a sum over tokens or a group, or the share of a sum over the batch."""
        if over == "token":
            response = argument.type.axis.response
            return self.tool("token_sum", response, self.show(argument)[0]), ATOM
        if over == "group":
            name = "pair_sum" if kind == "pairs" else "group_sum"
            return self.tool(name, COMPLETIONS, self.show(argument)[0]), ATOM
        if kind == "mean" and argument.type.axis == CONSTANT:
            self.tools |= {"part", "number"}
            return f"number({self.show(argument)[0]}) * part(batch, totals)", PRODUCT
        if not argument.type.trained and (total := self.total(argument)):
            return total
        if kind == "mean":
            self.tools.add("row_mean")
            return f"row_mean({self.show(argument)[0]}, totals)", ATOM
        return f"{self.bracketed(argument, ATOM)}.sum()", ATOM

    def total(self, node: Node) -> Shown | None:
        """Print a sum over the global batch of what the data alone says."""
        match node:
            case Reduce(
                kind="sum", over="group", argument=Multiply(factors=(Length(response=response), UnitFactor()))
            ):
                return f'totals["tokens/{response}"]', ATOM
            case Length(response=response):
                return f'totals["tokens/{response}"]', ATOM
            case Column(name="label", response=None):
                return 'max(1.0, totals["column/label"])', ATOM  # a batch may have no row of a label
            case Column(name=name, response=None):
                return f'totals["column/{name}"]', ATOM
            case Constant(value=1.0):
                return 'totals["rows"]', ATOM
            case Add(
                terms=(Constant(value=1.0), Multiply(factors=(Constant(value=-1.0), Column() as column)))
            ):
                return f'max(1.0, totals["rows"] - totals["column/{column.name}"])', ATOM
        return None

    def bracketed(self, node: Node, at_least: int) -> str:
        """Print a node, in brackets where it binds less than its surroundings need."""
        shown, precedence = self.show(node)
        return shown if precedence >= at_least and not (at_least and shown.startswith("-")) else f"({shown})"


def without_unit(node: Node) -> Node:
    """Leave out of a product the 1 that only carries a unit."""
    kept = [f for f in node.factors if not is_unit_factor(f)] if isinstance(node, Multiply) else []
    return kept[0] if len(kept) == 1 else node


def negative(node: Node) -> bool:
    """Tell a number below 0, and a product with one."""
    number = node.factors[0] if isinstance(node, Multiply) else node
    return isinstance(number, Constant) and number.value < 0


GROWING = ("exp", "expm1")
"""Taken in float64 of tokens too, as of sums: in float32 e^89 is infinite, and no gradient survives it."""
TOKENS = 'totals["tokens/completions"]'


def _by_token(node: Node) -> bool:
    return node.type.axis.by_token


def depth(node: Node) -> int:
    """Count the axes of a value's tensor."""
    return node.type.axis.dimensions

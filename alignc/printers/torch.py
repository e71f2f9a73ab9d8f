"""Print a graph as torch source: the body of an emitted `loss.py`.

Names and numbers in it are the compiler's own; no text of a spec ever gets here. Sums over a response are taken in
float64, and every batch reduction at the root becomes this micro-batch's share of the global one. What a row's loss
reads of other rows is a statistic: computed first, without gradient, over the whole global batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from alignc.graph.build import is_unit_factor
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
    children,
    walk,
)
from alignc.graph.types import CONSTANT, AxisKind
from alignc.lower.loss import Loss
from alignc.lower.statistics import rows_of, statistics
from alignc.printers.formula import text

__all__ = ["TorchSource", "torch_source"]

SUM, PRODUCT, UNARY, ATOM = range(4)
Line = tuple[str, str, str]
"""Name, expression, comment."""


@dataclass(frozen=True)
class TorchSource:
    """The parts of `loss.py`."""

    parameters: list[Line]
    lines: list[Line]
    loss: str
    metrics: list[tuple[str, str]]
    statistic_lines: list[Line]
    statistics: list[tuple[str, str]]
    """Key and row values of each statistic."""
    penalty_lines: list[Line]
    penalty: str | None
    """What a rollout takes off its rewards, where it does."""
    tools: list[str]


def torch_source(loss: Loss) -> TorchSource:
    """Print a loss. The order of lines is that of the graph; a name is assigned once."""
    known = statistics(loss)
    printer = Printer({node: f"s{i + 1}" for i, node in enumerate(known)})
    shown_parameters = walk(*loss.outputs, *loss.penalties)
    parameters = [_parameter(printer, p) for p in shown_parameters if isinstance(p, Parameter)]
    inner = [row for node in known for row in rows_of(node)]
    lines = printer.lines(loss.outputs)
    metrics = [(m.name, printer.metric(m.value)) for m in loss.metrics[1:]]
    shown = printer.show(loss.root)[0]
    first = Printer({})
    first.names = printer.names
    statistic_lines = first.lines(inner)
    values = [(key, first.stacked(node)) for node, key in printer.statistics.items()]
    reward = Printer({})
    reward.names = printer.names
    penalty_lines = reward.lines(loss.penalties)
    penalty = next((reward.show(node)[0] for node in loss.penalties), None)
    tools = sorted(printer.tools | first.tools | reward.tools)
    return TorchSource(
        parameters, lines, shown, metrics, statistic_lines, values, penalty_lines, penalty, tools
    )


def _parameter(printer: Printer, p: Parameter) -> Line:
    return printer.parameter(p), repr(p.value), f"{p.symbol}, {p.unit}" if p.unit.powers else p.symbol


SHAPES = {
    AxisKind.CONSTANT: "one number",
    AxisKind.BATCH: "one number",
    AxisKind.SEQUENCE: "rows",
    AxisKind.GROUP: "rows, k",
    AxisKind.TOKEN: "rows, time",
}


def _shape(node: Node) -> str:
    unit = f", {node.type.unit}" if node.type.unit.powers else ""
    return f"[{SHAPES[node.type.axis.kind]}{unit}]"


class Printer:
    """Prints expressions, and remembers which small functions they call."""

    def __init__(self, known: dict[Node, str]) -> None:
        self.statistics = known
        self.tools: set[str] = set()
        self.names: dict[Parameter, str] = {}

    def lines(self, roots: Iterable[Node]) -> list[Line]:
        """Print an assignment for every name below the roots; a statistic is a leaf."""
        found: list[Line] = []
        for node in self.below(tuple(roots)):
            if isinstance(node, Named):
                shown = self.show(node.argument)[0]
                found.append((node.name, shown, f"{node.symbol} = {text(node.argument)}  {_shape(node)}"))
        return found

    def below(self, roots: tuple[Node, ...]) -> list[Node]:
        """Walk what the roots need when statistics are given."""
        needed = {n for root in roots for n in self.reached(root)}
        return [n for n in walk(*roots) if n in needed]

    def reached(self, root: Node) -> list[Node]:
        """List what is reached without passing through a statistic."""
        found, open_nodes = [], [root]
        while open_nodes:
            node = open_nodes.pop()
            found.append(node)
            if node not in self.statistics:
                open_nodes.extend(children(node))
        return found

    def parameter(self, node: Parameter) -> str:
        """Choose a Python name: the field's, numbered where two share it."""
        if node not in self.names:
            base = node.name.rpartition(".")[2].rstrip("_") or "value"
            base = f"{base}_" if base in PYTHON_WORDS else base
            taken = set(self.names.values())
            self.names[node] = next(
                c for c in (base, *(f"{base}_{i}" for i in range(2, 100))) if c not in taken
            )
        return self.names[node]

    def metric(self, node: Node) -> str:
        """Print a metric's share; a number that is the whole batch's is spread over the rows."""
        if any(
            isinstance(n, Reduce) and n.over == "batch"
            for n in self.reached(node)
            if n not in self.statistics
        ):
            return self.show(node)[0]
        self.tools.add("part")
        return f"{self.bracketed(node, UNARY)} * part(batch, totals)"

    def stacked(self, node: Node) -> str:
        """Print the row values of a statistic: [rows], or [rows, 2] where two are matched."""
        rows = [self.show(r)[0] for r in rows_of(node)]
        return rows[0] if len(rows) == 1 else f"torch.stack([{', '.join(rows)}], -1)"

    def show(self, node: Node) -> tuple[str, int]:
        """Print a node, with the precedence of what was printed."""
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

    def leaf(self, node: Node) -> tuple[str, int] | None:
        """Print an input."""
        match node:
            case Column(name=name, response=response):
                return f'batch["column/{name}{f"/{response}" if response else ""}"]', ATOM
            case Length(response=response):
                return self.tool("length", response), ATOM
            case Position(response=response):
                return self.tool("position", response), ATOM
            case GroupSize():
                return self.tool("group_size", "completions"), ATOM
            case Logp(model=model, response=response):
                return f'batch["{model}/{response}"]', ATOM
            case Output(quantity=quantity, response=response):
                return f'batch["{quantity}{"" if quantity == "value" else f"/{response}"}"]', ATOM
        return None

    def tool(self, name: str, response: str) -> str:
        """Call a small function on a response's mask."""
        self.tools.add(name)
        return f'{name}(batch["mask/{response}"])'

    def compound(self, node: Node) -> tuple[str, int]:
        """Print a node that has arguments."""
        match node:
            case Add(terms=terms):
                return self.addition([self.spread(t, node, SUM) for t in terms]), SUM
            case Multiply(factors=factors):
                return self.product(factors, node)
            case Power(base=base, exponent=n):
                return (
                    (self.product((node,), node)) if n < 0 else (f"{self.bracketed(base, ATOM)}**{n}", UNARY)
                )
            case Apply(function=function, arguments=arguments):
                return self.call(function, arguments, node)
            case Reduce(kind=kind, over=over, argument=argument):
                return self.reduction(kind, over, argument)
        raise TypeError(f"cannot print {type(node).__name__}")

    def call(self, function: str, arguments: tuple[Node, ...], node: Node) -> tuple[str, int]:
        """Print a call of a function of the table."""
        shown = ", ".join(self.argument(a, node) for a in arguments)
        if function in GROWING and _by_token(arguments[0]):
            shown = f"{self.bracketed(arguments[0], ATOM)}.double()"
        self.tools |= {"log_odds": {"log_odds", "log1mexp"}}.get(
            function, {function} & {"log1mexp", "at_most"}
        )
        row = FUNCTIONS[function].torch.format(shown)
        return row, UNARY if row.startswith("-") else ATOM

    def argument(self, node: Node, into: Node) -> str:
        """Print an argument of a function; torch takes no plain number there."""
        shown = self.spread(node, into, SUM)
        if node.type.axis != CONSTANT:
            return shown
        self.tools.add("number")
        return f"number({shown})"

    def spread(self, node: Node, into: Node, at_least: int) -> str:
        """Print an argument, with axes added where it is spread over a finer one."""
        missing = depth(into) - depth(node)
        if missing <= 0 or node.type.axis.single:
            return self.bracketed(node, at_least) if at_least else self.show(node)[0]
        return f"{self.bracketed(node, ATOM)}[{', '.join([':'] * depth(node) + ['None'] * missing)}]"

    def addition(self, shown: list[str]) -> str:
        """Print a sum."""
        first, *rest = sorted(shown, key=lambda s: s.startswith("-"))
        return first + "".join(f" - {s[1:]}" if s.startswith("-") else f" + {s}" for s in rest)

    def product(self, factors: tuple[Node, ...], node: Node) -> tuple[str, int]:
        """Print a product; negative powers become divisions."""
        kept = [f for f in factors if not is_unit_factor(f)]
        if len(kept) == 1 and not isinstance(kept[0], Power):
            return self.show(kept[0])
        sign = "-" if isinstance(factors[0], Constant) and factors[0].value < 0 else ""
        above, below = [], []
        for factor in kept:
            if isinstance(factor, Constant):
                above += [repr(abs(factor.value))] if abs(factor.value) != 1 else []
            elif isinstance(factor, Power) and factor.exponent < 0:
                base = factor.base if factor.exponent == -1 else Power(factor.base, -factor.exponent)
                below.append(self.spread(base, node, ATOM))
            else:
                above.append(self.spread(factor, node, UNARY))
        return sign + " / ".join([" * ".join(above) or "1.0", *below]), PRODUCT

    def reduction(self, kind: str, over: str, argument: Node) -> tuple[str, int]:
        """Print a sum over tokens or a group, or the share of a sum over the batch."""
        if over == "token":
            self.tools.add("token_sum")
            response = argument.type.axis.response
            return f'token_sum({self.show(argument)[0]}, batch["mask/{response}"])', ATOM
        if over == "group":
            name = "pair_sum" if kind == "pairs" else "group_sum"
            self.tools |= {name, "group_sum"}
            return f'{name}({self.show(argument)[0]}, batch["mask/completions"])', ATOM
        if not argument.type.trained and (total := self.total(argument)):
            return total
        summed = f"{self.bracketed(argument, ATOM)}.sum()"
        return (f'{summed} / totals["rows"]', PRODUCT) if kind == "mean" else (summed, ATOM)

    def total(self, node: Node) -> tuple[str, int] | None:
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


GROWING = ("exp", "expm1")
"""Taken in float64 of tokens too, as of sums: in float32 e^89 is infinite, and no gradient survives it."""


def _by_token(node: Node) -> bool:
    return node.type.axis.by_token


def depth(node: Node) -> int:
    """Count the axes of a value's tensor."""
    return node.type.axis.dimensions


PYTHON_WORDS = frozenset(
    {"lambda", "batch", "totals", "torch", "loss", "length", "metrics", "part", "position"}
)

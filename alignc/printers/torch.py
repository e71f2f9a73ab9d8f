"""Print a graph as torch source: the body of an emitted `loss.py`.

Names and numbers in it are the compiler's own; no text of a spec ever gets here. Sums over a response are taken
in float64, and every batch reduction becomes this micro-batch's share of the global one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from alignc.graph.functions import FUNCTIONS
from alignc.graph.loss import Loss
from alignc.graph.nodes import (
    Add,
    Apply,
    Column,
    Constant,
    Length,
    Logp,
    Multiply,
    Named,
    Node,
    Parameter,
    Power,
    Reduce,
    Stop,
    walk,
)
from alignc.printers.formula import text

__all__ = ["TorchSource", "torch_source"]

SUM, PRODUCT, UNARY, ATOM = range(4)


@dataclass(frozen=True)
class TorchSource:
    """The parts of `loss.py`: assignments in order, the returned loss, the metrics, and the tools they use."""

    parameters: list[tuple[str, str, str]]
    """Name, number, comment."""
    lines: list[tuple[str, str, str]]
    """Name, expression, comment."""
    loss: str
    metrics: list[tuple[str, str]]
    tools: list[str] = field(default_factory=list)


def torch_source(loss: Loss) -> TorchSource:
    """Print a loss. The order of lines is that of the graph; a name is assigned once."""
    printer = _Printer()
    parameters = [
        (printer.parameter(p), repr(p.value), f"{p.symbol}, {p.unit}" if p.unit.powers else p.symbol)
        for p in _first_of_each(loss)
    ]
    lines = [
        (n.name, printer.show(n.argument)[0], f"{n.symbol} = {text(n.argument)}  [{_shape(n)}]")
        for n in walk(*loss.outputs)
        if isinstance(n, Named)
    ]
    metrics = [(m.name, printer.show(m.value)[0]) for m in loss.metrics[1:]]
    return TorchSource(parameters, lines, printer.show(loss.root)[0], metrics, sorted(printer.tools))


def _first_of_each(loss: Loss) -> list[Parameter]:
    return [n for n in walk(*loss.outputs) if isinstance(n, Parameter) and n.symbol]


def _shape(node: Node) -> str:
    unit = f", {node.type.unit}" if node.type.unit.powers else ""
    return f"rows{unit}" if node.type.axis == "sequence" else f"{node.type.axis}{unit}"


class _Printer:
    def __init__(self) -> None:
        self.tools: set[str] = set()
        self.names: dict[Parameter, str] = {}

    def parameter(self, node: Parameter) -> str:
        """Choose a Python name: the last part of the field's name, numbered where two share it."""
        if node not in self.names:
            base = node.name.rpartition(".")[2].rstrip("_") or "value"
            base = f"{base}_" if base in PYTHON_WORDS else base
            taken = set(self.names.values())
            candidates = [base, *(f"{base}_{i}" for i in range(2, 100))]
            self.names[node] = next(c for c in candidates if c not in taken)
        return self.names[node]

    def show(self, node: Node) -> tuple[str, int]:
        """Print a node, with the precedence of what was printed."""
        match node:
            case Constant(value=value):
                return _plain(value), ATOM if value >= 0 else UNARY
            case Parameter():
                return (self.parameter(node) if node.symbol else "1.0"), ATOM
            case Named(name=name):
                return name, ATOM
            case Column(name=name, response=response):
                return f'batch["column/{name}{f"/{response}" if response else ""}"]', ATOM
            case Length(response=response):
                return self.length(response), ATOM
            case Logp(model=model, response=response):
                return f'batch["{model}/{response}"]', ATOM
            case Stop(argument=argument):
                return f"{self.bracketed(argument, ATOM)}.detach()", ATOM
        return self.compound(node)

    def compound(self, node: Node) -> tuple[str, int]:
        match node:
            case Add(terms=terms):
                return self.addition(terms), SUM
            case Multiply(factors=factors):
                return self.product(factors), PRODUCT
            case Power(base=base, exponent=n):
                if n < 0:
                    return self.product((node,)), PRODUCT
                return f"{self.bracketed(base, ATOM)}**{n}", UNARY
            case Apply(function=function, arguments=arguments):
                shown = ", ".join(self.show(a)[0] for a in arguments)
                row = FUNCTIONS[function].torch.format(shown)
                if function == "log1mexp":
                    self.tools.add("log1mexp")
                return row, UNARY if row.startswith("-") else ATOM
            case Reduce(kind=kind, over=over, argument=argument):
                return self.reduction(kind, over, argument)
        raise TypeError(f"cannot print {type(node).__name__}")

    def length(self, response: str) -> str:
        self.tools.add("length")
        return f'length(batch["mask/{response}"])'

    def addition(self, terms: tuple[Node, ...]) -> str:
        shown = sorted((self.show(t)[0] for t in terms), key=lambda s: s.startswith("-"))
        first, *rest = shown
        return first + "".join(f" - {s[1:]}" if s.startswith("-") else f" + {s}" for s in rest)

    def product(self, factors: tuple[Node, ...]) -> str:
        kept = [f for f in factors if not (isinstance(f, Parameter) and not f.symbol)]
        if len(kept) == 1 and not isinstance(kept[0], Power):
            return self.show(kept[0])[0]
        sign = "-" if isinstance(factors[0], Constant) and factors[0].value < 0 else ""
        above, below = [], []
        for factor in factors:
            if isinstance(factor, Constant):
                above += [_plain(abs(factor.value))] if abs(factor.value) != 1 else []
            elif isinstance(factor, Power) and factor.exponent < 0:
                base = factor.base if factor.exponent == -1 else Power(factor.base, -factor.exponent)
                below.append(self.bracketed(base, ATOM))
            elif factor in kept:
                above.append(self.bracketed(factor, UNARY))
        return sign + " / ".join([" * ".join(above) or "1.0", *below])

    def reduction(self, kind: str, over: str, argument: Node) -> tuple[str, int]:
        if over == "token":
            self.tools.add("token_sum")
            response = next(n.response for n in walk(argument) if isinstance(n, (Logp, Length)))
            return f'token_sum({self.show(argument)[0]}, batch["mask/{response}"])', ATOM
        if isinstance(argument, Length):
            return f'totals["tokens/{argument.response}"]', ATOM
        total = f"{self.bracketed(argument, ATOM)}.sum()"
        return (f'{total} / totals["rows"]', PRODUCT) if kind == "mean" else (total, ATOM)

    def bracketed(self, node: Node, at_least: int) -> str:
        shown, precedence = self.show(node)
        return shown if precedence >= at_least and not shown.startswith("-") else f"({shown})"


PYTHON_WORDS = frozenset({"lambda", "batch", "totals", "torch", "loss", "length", "metrics"})


def _plain(value: float) -> str:
    return repr(float(value))

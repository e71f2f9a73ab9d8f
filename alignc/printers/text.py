"""Print a graph as mathematics in plain text.

One table of precedence and one place that writes brackets. A named value is printed as its symbol unless it is
listed in `expand`.
"""

from __future__ import annotations

from collections.abc import Container

from alignc.graph.build import negate
from alignc.graph.functions import FUNCTIONS
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
)

__all__ = ["number", "text"]

SUM, PRODUCT, POWER, ATOM = range(4)
RESPONSES = {"chosen": "y_w", "rejected": "y_l", "completion": "y", "completions": "y_i"}
MODELS = {"policy": "π", "initial": "π_ref"}


def text(node: Node, expand: Container[str] = ()) -> str:
    """Print a node; `expand` lists the names that are written out."""
    return _Printer(expand).show(node)[0]


def number(value: float) -> str:
    """Print a number the shortest way, with a true minus sign."""
    short = f"{value:.6g}" if value == float(f"{value:.6g}") else repr(value)
    return short.replace("e-0", "e-").replace("-", "−") if "e" not in short else short.replace("e-0", "e-")


def _rank(factor: Node) -> int:
    """Order a product as people write it: number, hyper-parameters, the rest."""
    return 0 if isinstance(factor, Constant) else 1 if isinstance(factor, Parameter) else 2


class _Printer:
    def __init__(self, expand: Container[str]) -> None:
        self.expand = expand

    def show(self, node: Node) -> tuple[str, int]:
        """Print a node, with the precedence of what was printed."""
        match node:
            case Constant(value=value):
                return number(value), ATOM if value >= 0 else PRODUCT
            case Parameter(symbol=symbol):
                return symbol or "1", ATOM
            case Column(name=name, response=response):
                return f"{name}({RESPONSES[response]})" if response else name, ATOM
            case Length(response=response):
                return f"|{RESPONSES[response]}|", ATOM
            case Logp(model=model, response=response):
                return f"log {MODELS.get(model, model)}({RESPONSES[response]},t)", ATOM
            case Named(name=name, symbol=symbol, argument=argument):
                return self.show(argument) if name in self.expand else (symbol, ATOM)
            case Stop(argument=argument):
                return f"sg({self.show(argument)[0]})", ATOM
        return self.compound(node)

    def compound(self, node: Node) -> tuple[str, int]:
        match node:
            case Add(terms=terms):
                return self.addition(terms), SUM
            case Multiply(factors=factors):
                return self.product(factors)
            case Power(exponent=exponent):
                return self.product((node,)) if exponent < 0 else (self.power(node), POWER)
            case Apply(function=function, arguments=arguments):
                shown = ", ".join(self.show(a)[0] for a in arguments)
                return FUNCTIONS[function].text.format(shown), ATOM
            case Reduce(kind=kind, over=over, argument=argument):
                return self.reduction(kind, over, argument)
        raise TypeError(f"cannot print {type(node).__name__}")

    def addition(self, terms: tuple[Node, ...]) -> str:
        shown = [self.show(t)[0] for t in terms]
        shown.sort(key=lambda s: s.startswith("−"))
        first, *rest = shown
        return first + "".join(f" − {s[1:]}" if s.startswith("−") else f" + {s}" for s in rest)

    def power(self, node: Power) -> str:
        exponents = {2: "²", 3: "³", 4: "⁴"}
        base = self.bracketed(node.base, ATOM)
        return base + exponents.get(node.exponent, f"^{node.exponent}")

    def product(self, factors: tuple[Node, ...]) -> tuple[str, int]:
        sign = "−" if isinstance(factors[0], Constant) and factors[0].value < 0 else ""
        above, below = [], []
        for factor in sorted(factors, key=_rank):
            if isinstance(factor, Constant):
                above += [number(abs(factor.value))] if abs(factor.value) != 1 else []
            elif isinstance(factor, Power) and factor.exponent < 0:
                below.append(self.bracketed(Power(factor.base, -factor.exponent), PRODUCT + 1)
                             if factor.exponent != -1 else self.bracketed(factor.base, PRODUCT + 1))  # fmt: skip
            elif not (isinstance(factor, Parameter) and not factor.symbol):
                above.append(self.bracketed(factor, PRODUCT))
        shown = sign + ("·".join(above) or "1")
        if not below:
            return shown, PRODUCT if sign or len(above) > 1 else self.single(factors)
        under = "·".join(below)
        return f"{shown}/{under if len(below) == 1 else f'({under})'}", PRODUCT

    def single(self, factors: tuple[Node, ...]) -> int:
        return max((self.show(f)[1] for f in factors if not isinstance(f, Constant)), default=ATOM)

    def reduction(self, kind: str, over: str, argument: Node) -> tuple[str, int]:
        if over == "token":
            return self.over_tokens(argument)
        shown, precedence = self.show(argument)
        if precedence == SUM and shown.startswith("−"):
            shown = "−" + self.show(negate(self.opened(argument)))[0]
        outer = "−" if shown.startswith("−") else ""
        letter = "E" if kind == "mean" else "Σ"
        where = {"batch": "", "group": "_i"}[over]
        return f"{outer}{letter}{where}[{shown[len(outer) :]}]", PRODUCT if outer else ATOM

    def opened(self, node: Node) -> Node:
        """Look through the names that are written out."""
        return self.opened(node.argument) if isinstance(node, Named) and node.name in self.expand else node

    def over_tokens(self, argument: Node) -> tuple[str, int]:
        """Write a sum of token log-probabilities as the response's log-probability."""
        if isinstance(argument, Logp):
            response = RESPONSES[argument.response]
            return f"log {MODELS.get(argument.model, argument.model)}({response}|x)", ATOM
        if isinstance(argument, Add):
            return self.addition(tuple(self.spread(t) for t in argument.terms)), SUM
        return f"Σ_t[{self.show(argument)[0]}]", ATOM

    def spread(self, term: Node) -> Node:
        """Move a sum over tokens inside a product with a number."""
        if isinstance(term, Multiply) and isinstance(term.factors[0], Constant) and len(term.factors) == 2:
            return Multiply((term.factors[0], Reduce("sum", "token", term.factors[1])))
        return Reduce("sum", "token", term)

    def bracketed(self, node: Node, at_least: int) -> str:
        shown, precedence = self.show(node)
        return shown if precedence >= at_least and not shown.startswith("−") else f"({shown})"

"""Print a graph as mathematics. One table of precedence, and one place that writes brackets.

A named value is printed as its symbol, unless `expand` lists its name.
"""

from __future__ import annotations

from collections.abc import Container
from typing import TypeGuard

from alignc.contract.models import INITIAL, ROLLOUT
from alignc.contract.outputs import OUTPUTS, Quantity
from alignc.graph.build import add, is_unit_factor, multiply, negate
from alignc.graph.nodes import (
    Add,
    Apply,
    Column,
    Constant,
    GroupSize,
    Length,
    Logp,
    Matched,
    Multiply,
    Named,
    Node,
    Output,
    Parameter,
    Position,
    Power,
    Reduce,
    Running,
    Stop,
    UnitFactor,
    is_divergence,
)
from alignc.graph.rewrite import token_count
from alignc.printers.dialect import LATEX, TEXT, Dialect

__all__ = ["latex", "text"]

SUM, PRODUCT, POWER, ATOM = range(4)
Shown = tuple[str, int]
"""What was printed, and its precedence."""


def text(node: Node, expand: Container[str] = ()) -> str:
    """Print a node as plain text."""
    return Printer(TEXT, expand).show(node)[0]


def latex(node: Node, expand: Container[str] = ()) -> str:
    """Print a node as LaTeX mathematics."""
    return Printer(LATEX, expand).show(node)[0]


def rank(factor: Node) -> int:
    """Order a product as people write it: number, hyper-parameters, the rest."""
    return 0 if isinstance(factor, Constant) else 1 if isinstance(factor, Parameter) else 2


class Printer:
    """Prints nodes in one dialect."""

    def __init__(self, dialect: Dialect, expand: Container[str] = ()) -> None:
        self.spell, self.expand = dialect, expand
        self.minus = "−" if dialect.name == "text" else "-"

    def show(self, node: Node) -> Shown:
        """Print a node, with the precedence of what was printed."""
        spell = self.spell
        match node:
            case Constant(value=value):
                return spell.number(value), ATOM if value >= 0 else PRODUCT
            case Parameter(symbol=symbol):
                return spell.symbol(symbol), ATOM
            case UnitFactor():
                return "1", ATOM
            case Column(response=response) if is_divergence(node):
                return self.output(Quantity.DIVERGENCE, ROLLOUT, str(response))
            case Column(name=name, response=response, token=True):
                return spell.token_column.format(spell.symbol(name), self.token(str(response), "t")), ATOM
            case Column(name=name, response=response):
                shown = spell.symbol(name)
                return (f"{shown}({spell.response[response]})" if response else shown), ATOM
            case Length(response=response):
                return spell.length.format(spell.response[response]), ATOM
            case Logp(model=model, response=response):
                return spell.token_logp.format(spell.model(model), self.token(response, "t")), ATOM
            case Named(name=name, symbol=symbol, argument=argument):
                return self.show(argument) if name in self.expand else (spell.symbol(symbol), ATOM)
            case Stop(argument=argument):
                return spell.stop.format(self.show(argument)[0]), ATOM
        return self.leaf(node) or self.compound(node)

    def token(self, response: str, place: str) -> str:
        """Name a place in a response."""
        return self.spell.place(self.spell.response[response], place)

    def output(self, quantity: Quantity, model: str, response: str) -> Shown:
        """Print another output of a model, as its row of the table has it."""
        spell, row = self.spell, OUTPUTS[quantity]
        shown = (row.text if spell is TEXT else row.latex).format(
            response=spell.response[response],
            before=self.token(response, "<t"),
            model=spell.model(model),
            reference=spell.model(INITIAL),
        )
        return shown, ATOM

    def leaf(self, node: Node) -> Shown | None:
        """Print the rarer inputs."""
        spell = self.spell
        match node:
            case GroupSize():
                return spell.symbol("k"), ATOM
            case Position():
                return spell.symbol("t"), ATOM
            case Output(quantity=quantity, model=model, response=response):
                return self.output(quantity, model, response)
        return None

    def compound(self, node: Node) -> Shown:
        """Print a node that has arguments."""
        match node:
            case Matched(argument=argument, like=like):
                return spell_call("sorted like", self.spell, self.show(argument)[0], self.show(like)[0]), ATOM
            case Running(argument=argument):
                return spell_call("running mean", self.spell, self.show(argument)[0]), ATOM
            case Add(terms=terms):
                return self.addition(terms), SUM
            case Multiply(factors=factors):
                return self.product(factors)
            case Power(base=base, exponent=n):
                if n < 0:
                    return self.product((node,))
                return self.spell.power(self.bracketed(base, ATOM), n), POWER
            case Apply(function="exp", arguments=(Add(terms=terms),)) if factors := exponentials(terms):
                return self.product(factors)
            case Apply(function="at_most", arguments=(left, right)):
                shown = f"{self.show(left)[0]} ≤ {self.show(right)[0]}"
                return self.spell.function("at_most", shown), ATOM
            case Apply(function=function, arguments=arguments):
                shown = ", ".join(self.show(a)[0] for a in arguments)
                return self.spell.function(function, shown), ATOM
            case Reduce(kind=kind, over=over, argument=argument):
                return self.reduction(kind, over, argument)
        raise TypeError(f"cannot print {type(node).__name__}")

    def addition(self, terms: tuple[Node, ...]) -> str:
        """Print a sum, what is added before what is subtracted."""
        shown = sorted((self.show(t)[0] for t in terms), key=lambda s: s.startswith(self.minus))
        first, *rest = shown
        return first + "".join(
            f" {self.minus} {s[1:]}" if s.startswith(self.minus) else f" + {s}" for s in rest
        )

    def product(self, factors: tuple[Node, ...]) -> Shown:
        """Print a product, negative powers below the line."""
        ordered = sorted(factors, key=rank)
        above, negative = self.signed([shown for f in ordered for shown in self.above(f)])
        negative ^= isinstance(ordered[0], Constant) and ordered[0].value < 0
        sign = self.minus if negative else ""
        under = [f for f in ordered if is_under(f)]
        halved = bool(under) and isinstance(ordered[0], Constant) and self.unit_fraction(ordered[0].value)
        below = [self.below(f, alone=len(under) == 1 and not halved) for f in under]
        if halved and isinstance(ordered[0], Constant):
            above, below = above[1:], [self.spell.number(round(1 / abs(ordered[0].value))), *below]
        if below:
            line = self.spell.times.join(above) or "1"
            return sign + self.spell.fraction(line, below), PRODUCT
        if sign or len(above) > 1:
            return sign + (self.spell.times.join(above) or "1"), PRODUCT
        factor = next((f for f in ordered if self.above(f)), None)
        return self.show(factor) if factor else ("1", ATOM)

    def above(self, factor: Node) -> list[str]:
        """Print a factor that stands above the line."""
        if isinstance(factor, Constant):
            return [self.spell.number(abs(factor.value))] if abs(factor.value) != 1 else []
        if is_unit_factor(factor) or is_under(factor):
            return []
        shown, precedence = self.show(factor)
        if shown.startswith(self.minus) and precedence == PRODUCT:
            return [shown]
        return [self.bracketed(factor, PRODUCT)]

    def signed(self, above: list[str]) -> tuple[list[str], bool]:
        """Take the signs of factors out of a product."""
        negative = sum(shown.startswith(self.minus) for shown in above) % 2 == 1
        return [shown.removeprefix(self.minus) for shown in above], negative

    def unit_fraction(self, value: float) -> bool:
        """Tell 1/2, 1/3, … from other numbers."""
        inverse = 1 / abs(value)
        return 1 < inverse <= 100 and inverse == round(inverse)

    def below(self, factor: Power, *, alone: bool) -> str:
        """Print a factor that stands below the line; under a line of LaTeX a lone one needs no brackets."""
        base = factor.base if factor.exponent == -1 else Power(factor.base, -factor.exponent)
        if self.spell is LATEX:
            return self.show(base)[0] if alone else self.bracketed(base, PRODUCT)
        return self.bracketed(base, POWER)

    def reduction(self, kind: str, over: str, argument: Node) -> Shown:
        """Print a sum or a mean; a sign that the whole carries moves to the front."""
        if over == "token":
            return self.over_tokens(argument)
        if kind == "pairs":
            return self.spell.pairs.format(self.show(argument)[0].rpartition("_")[0] or "x"), ATOM
        shown, precedence = self.show(argument)
        if precedence == SUM and shown.startswith(self.minus):
            shown = self.minus + self.show(negate(self.opened(argument)))[0]
        outer = self.minus if shown.startswith(self.minus) else ""
        form = self.spell.mean if kind == "mean" else self.spell.total
        return outer + form.format(self.spell.over[over], shown[len(outer) :]), PRODUCT if outer else ATOM

    def opened(self, node: Node) -> Node:
        """Look through the names that are written out."""
        return self.opened(node.argument) if isinstance(node, Named) and node.name in self.expand else node

    def over_tokens(self, argument: Node) -> Shown:
        """Write a sum of token log-probabilities as the response's log-probability."""
        spell = self.spell
        if isinstance(argument, Logp):
            return spell.logp.format(spell.model(argument.model), spell.response[argument.response]), ATOM
        if isinstance(argument, Add):
            response = argument.type.axis.response
            return self.addition(tuple(spread(t, response) for t in argument.terms)), SUM
        return spell.total.format(spell.over["token"], self.show(argument)[0]), ATOM

    def bracketed(self, node: Node, at_least: int) -> str:
        """Print a node, in brackets where it binds less than its surroundings need."""
        shown, precedence = self.show(node)
        if precedence >= at_least and not shown.startswith(self.minus):
            return shown
        return self.spell.brackets.format(shown)


def is_under(factor: Node) -> TypeGuard[Power]:
    """Tell whether a factor of a product stands below the line."""
    return isinstance(factor, Power) and factor.exponent < 0 and not is_unit_factor(factor)


def exponentials(terms: tuple[Node, ...]) -> tuple[Node, ...]:
    """Write exp(log σ(z) + …) as σ(z)·exp(…), the way a reader knows it; nothing where no log σ is in the sum."""
    logs = [t for t in terms if isinstance(t, Apply) and t.function == "log_sigmoid"]
    if not logs:
        return ()
    rest = add(*(t for t in terms if t not in logs))
    return (*(Apply("sigmoid", t.arguments) for t in logs), Apply("exp", (rest,)))


def spell_call(words: str, spell: Dialect, *arguments: str) -> str:
    """Print a function that has a name of several words."""
    shown = ", ".join(arguments)
    if spell is TEXT:
        return f"{words.replace(' ', '_')}({shown})"
    return rf"\operatorname{{{words.replace(' ', '')}}}\left({shown}\right)"


def spread(term: Node, response: str) -> Node:
    """Move a sum over tokens inside a product with a number; a number itself counts once for each token."""
    if not term.type.axis.by_token:
        return multiply(term, token_count(response))
    if isinstance(term, Multiply) and isinstance(term.factors[0], Constant) and len(term.factors) == 2:
        return Multiply((term.factors[0], Reduce("sum", "token", term.factors[1])))
    return Reduce("sum", "token", term)

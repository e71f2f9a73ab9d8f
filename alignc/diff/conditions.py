"""Conditions under which two losses may coincide: a small set, built from what they read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

from alignc.contract.baselines import PARTITIONS
from alignc.contract.models import POLICY
from alignc.diff.atoms import Bond, atom_name, exact
from alignc.diff.sides import Side
from alignc.graph.build import constant
from alignc.graph.nodes import Logp, Node, Parameter, UnitFactor
from alignc.graph.rewrite import inputs, substitute
from alignc.graph.types import GraphTypeError
from alignc.graph.walk import walk

__all__ = ["Condition", "applied", "candidates", "combined"]

SAME = "both responses have the same length"
HALF = Fraction(1, 2)
ANCHORS = {"r": "initial policy", "o": "policy that sampled", "q": "previous iterate"}


@dataclass(frozen=True)
class Condition:
    """A condition in words, what it makes of atoms, and the parameters that it sets to zero."""

    words: str
    bonds: dict[str, Bond] = field(default_factory=dict)
    zero: frozenset[Parameter] = frozenset()
    gradient_only: bool = False
    special: str = ""
    """The condition that this one is a special case of."""


def combined(first: Condition, second: Condition) -> Condition | None:
    """Join two conditions, unless they speak of the same atoms."""
    taken = {*first.bonds, *(b.to for b in first.bonds.values())}
    if set(second.bonds) & taken or (first.zero and second.zero):
        return None
    if first.gradient_only or second.gradient_only:
        return None
    bonds = {**first.bonds, **second.bonds}
    special = first.special or second.special
    return Condition(f"{first.words}; {second.words}", bonds, first.zero | second.zero, special=special)


def applied(condition: Condition, side: Side) -> Side | None:
    """Set the condition's parameters to zero in a loss; None where that leaves none."""
    if not condition.zero:
        return side
    zeros: dict[Node, Node] = {p: constant(0) for p in condition.zero}
    try:
        root = substitute(side.root, zeros)
    except (GraphTypeError, ZeroDivisionError, ArithmeticError):
        return None
    return replace(side, root=root) if root.type.trained else None


def candidates(a: Side, b: Side) -> list[Condition]:
    """List the conditions that are about something the two losses read."""
    read = {atom_name(n): n for n in inputs(a.root, b.root)}
    return [
        *_zero_parameters(a, b),
        *_references(read),
        *_lengths(read, _numbers(a, b)),
        *_rewards(read, _numbers(a, b)),
        *_others(read, a, b),
    ]


def _zero_parameters(a: Side, b: Side) -> Iterator[Condition]:
    """A parameter of one loss alone, set to zero."""
    mine, theirs = ({n for n in walk(s.root) if isinstance(n, Parameter)} for s in (a, b))
    for own, other, side in ((mine, theirs, a), (theirs, mine, b)):
        known = {*side.positive, *(p.name for p in other)}
        for parameter in sorted(own, key=lambda p: p.path):
            if parameter.name not in known and parameter.value != 0:
                name = parameter.path.removeprefix("objective.")
                yield Condition(f"{name} = 0", zero=frozenset({parameter}))


def _references(read: dict[str, Node]) -> Iterator[Condition]:
    parts = [n.rpartition("_") for n, node in read.items() if _anchor(node)]
    letters = sorted({p[0] for p in parts}, key=lambda x: (x not in ANCHORS, x))
    suffixes = sorted({p[2] for p in parts})
    if len(letters) > 1:
        words = " = ".join(f"the {ANCHORS[x]}" if x in ANCHORS else f"the model {x[2:-1]}" for x in letters)
        bonds = {f"{x}_{y}": Bond(f"{letters[0]}_{y}") for x in letters[1:] for y in suffixes}
        yield Condition(f"one reference: {words}", bonds)
    if len(letters) == 1 and suffixes == ["l", "w"]:
        yield Condition(
            "the reference finds both responses equally likely", {f"{letters[0]}_l": Bond(f"{letters[0]}_w")}
        )
    if letters and {"n_w", "n_l"} & set(read):
        bonds = {f"{x}_{y}": Bond(f"n_{y}", Fraction(-1), times="c") for x in letters for y in suffixes}
        yield Condition("the reference gives every token the same probability", bonds)
    sampled = {f"l_{y}": Bond(f"o_{y}") for letter, _, y in parts if letter == "o"}
    if sampled:
        yield Condition(
            "the policy is still the one that sampled (a rollout's first update)", sampled, gradient_only=True
        )
    if letters and letters != ["o"]:
        bonds = {f"l_{y}": Bond(f"{letters[0]}_{y}") for y in suffixes}
        bonds |= {f"{x}_{y}": Bond(f"{letters[0]}_{y}") for x in letters[1:] for y in suffixes}
        yield Condition("the policy is still the reference (the first step)", bonds, gradient_only=True)


def _anchor(node: Node) -> bool:
    return isinstance(node, Logp) and node.model != POLICY


def _lengths(read: dict[str, Node], numbers: Sequence[Fraction]) -> Iterator[Condition]:
    for name in {"n_y", "n_i"} & set(read):
        yield Condition("all responses have the same length", {name: Bond("n")})
    if not {"n_w", "n_l"} & set(read):
        return
    yield Condition(SAME, {"n_l": Bond("n_w")})
    for n in numbers:
        if n.denominator == 1 and 1 <= n <= 10_000:
            yield Condition(
                f"both responses have {n} tokens", {"n_w": _fixed(n), "n_l": _fixed(n)}, special=SAME
            )


def _rewards(read: dict[str, Node], numbers: Sequence[Fraction]) -> Iterator[Condition]:
    names = [y for y in "wly" if f"R_{y}" in read or f"P_{y}" in read]
    if {"R_w", "R_l"} <= set(read):
        for gap in sorted({HALF, Fraction(1), *(n / 2 for n in numbers)}):
            yield Condition(f"the rewards differ by {gap}", {"R_w": Bond("R_l", Fraction(1), gap)})
    if {"P_w", "P_l"} <= set(read):
        yield Condition(
            "the chosen response always wins, the rejected one never", {"P_w": _fixed(1), "P_l": _fixed(0)}
        )
        yield Condition("the two win rates add up to 1", {"P_l": Bond("P_w", Fraction(-1), Fraction(1))})
    if names and any(n[0] == "R" for n in read) and any(n[0] == "P" for n in read):
        yield Condition("the rewards are the win rates", {f"R_{y}": Bond(f"P_{y}") for y in names})


def _others(read: dict[str, Node], a: Side, b: Side) -> Iterator[Condition]:
    given = {exact(n.value) for s in (a, b) for n in walk(s.root) if isinstance(n, Parameter)}
    for name in sorted(set(PARTITIONS) & set(read)):
        for value in sorted({Fraction(0), HALF, *given}):
            yield Condition(f"log Z = {value}·η (the column `{name}` is {value})", {name: _fixed(value)})
    if "V" in read:
        for value in (Fraction(0), HALF):
            yield Condition(f"the value is held at {value}", {"V": _fixed(value)})
    if "z0" in read:
        yield Condition("the reference point is 0", {"z0": _fixed(0)})
    if "delta" in read:
        yield Condition("the running mean is 0", {"delta": _fixed(0)})
    if "label" in read:
        yield Condition("all rows are marked desirable", {"label": _fixed(1)})
    if "margin" in read:
        yield Condition("the column `margin` is 0", {"margin": _fixed(0)})


def _numbers(a: Side, b: Side) -> list[Fraction]:
    """List the ratios of the losses' parameters, which are the lengths and rewards at which they may meet.

    A factor that carries a unit counts as 1: one token, one nat.
    """
    read = list(walk(a.root, b.root))
    values = [n.value for n in read if isinstance(n, Parameter) and n.value > 0]
    found = sorted({*map(exact, values), *(Fraction(1) for n in read if isinstance(n, UnitFactor))})[:6]
    return sorted({x / y for x in found for y in [*found, Fraction(1)]})[:24]


def _fixed(value: int | Fraction) -> Bond:
    return Bond(None, Fraction(1), Fraction(value))

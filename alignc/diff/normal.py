"""The normal form of a loss: a polynomial over atoms, in which functions of normal forms are atoms too.

Two graphs with one normal form are one function. The identities that the rewriting used are noted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import sympy

from alignc.contract.models import MODELS, POLICY
from alignc.diff.atoms import Bonds, atom_name
from alignc.diff.polynomial import MOST_TERMS, TooLargeError, expanded, fraction, rational, terms_of
from alignc.diff.rules import N1, RULES
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
)
from alignc.graph.types import Axis, AxisKind
from alignc.graph.walk import children, walk

__all__ = ["Atom", "Normal"]

LEVELS = {
    AxisKind.CONSTANT: 0,
    AxisKind.BATCH: 0,
    AxisKind.SEQUENCE: 1,
    AxisKind.GROUP: 2,
    AxisKind.TOKEN: 3,
}
OVER = {"batch": 1, "group": 2, "token": 3}
N3 = "Σ_i>j (x_i − x_j)² = k·Σ x_i² − (Σ x_i)²"
N6 = "sg(x) has the value of x, which is all that a gradient reads of it"


@dataclass(frozen=True)
class Atom:
    """What is known of an atom: how fine its axis is, and whether it depends on the policy."""

    level: int
    policy: bool
    trained: bool


def level_of(axis: Axis) -> int:
    """Rank an axis: one number, one a row, one a response of a group, one a token."""
    return LEVELS[axis.kind]


class Normal:
    """Brings graphs into normal form, under conditions on their atoms.

    `transparent`: read a stop-gradient as its value, as in a gradient.
    """

    def __init__(self, bonds: Bonds, *, transparent: bool = False) -> None:
        self.bonds, self.transparent = bonds, transparent
        self.atoms: dict[Any, Atom] = {}
        self.used: set[str] = set()
        self.known: dict[Node, Any] = {}
        self.inverses: dict[Any, Any] = {}

    def of(self, root: Node) -> Any:
        """Bring a graph into normal form. Raises TooLargeError."""
        for node in walk(root):
            if node not in self.known:
                self.known[node] = expanded(self.step(node))
        return self.known[root]

    def atom(self, name: str, level: int, *, policy: bool = False, trained: bool = False) -> Any:
        """Make an atom."""
        symbol = sympy.Symbol(name, positive=True)
        self.atoms[symbol] = Atom(level, policy, trained)
        return symbol

    def about(self, expression: Any) -> Atom:
        """Say what is known of an expression."""
        found = [self.atoms[s] for s in expression.free_symbols]
        level = max((a.level for a in found), default=0)
        return Atom(level, any(a.policy for a in found), any(a.trained for a in found))

    def free(self, expression: Any) -> bool:
        """Tell whether no parameter of the policy moves it."""
        return not self.about(expression).policy

    def step(self, node: Node) -> Any:
        """Bring one node into normal form, its arguments being there."""
        known = self.known
        match node:
            case Constant(value=value) | Parameter(value=value):
                return rational(value)
            case UnitFactor():
                return sympy.Integer(1)
            case Named(argument=argument):
                return known[argument]
            case Stop(argument=argument):
                return self.stopped(known[argument])
            case Add(terms=terms):
                return sum(known[t] for t in terms)
            case Multiply(factors=factors):
                return self.product([known[f] for f in factors])
            case Power(base=base, exponent=n):
                return self.power(known[base], n)
            case Apply(function=function, arguments=arguments):
                return self.applied(function, [known[a] for a in arguments], node)
            case Reduce(kind=kind, over=over, argument=argument):
                return self.reduced(kind, over, known[argument], argument)
            case Matched(argument=argument, like=like):
                return self.opaque("matched", (known[argument], known[like]), 1)
            case Running(argument=argument):
                return self.opaque("running", (known[argument],), 0)
        return self.leaf(node)

    def opaque(self, name: str, arguments: tuple[Any, ...], level: int, trained: bool = False) -> Any:
        """Make an atom of a function of normal forms."""
        shown = ", ".join(str(a) for a in arguments)
        return self.atom(
            f"{name}[{shown}]", level, policy=any(not self.free(a) for a in arguments), trained=trained
        )

    def call(self, name: str, *arguments: Any) -> Any:
        """Make an atom of a pointwise function."""
        about = [self.about(a) for a in arguments]
        level = max((a.level for a in about), default=0)
        return self.opaque(name, arguments, level, any(a.trained for a in about))

    def leaf(self, node: Node) -> Any:
        """Make an atom of an input, or what a condition makes of it."""
        name, level = atom_name(node), level_of(node.type.axis)
        if level == 3 and isinstance(node, Logp):
            bond = self.bonds.get(name)
            if bond is not None and bond.as_it_is:
                held = str(bond.to)
                return self.atom(f"{held},t", 3, policy=held.startswith(f"{MODELS[POLICY].letter}_"))
            return self.atom(f"{name},t", 3, policy=node.type.trained, trained=node.type.trained)
        if isinstance(node, Column) and node.name in ("z0", "delta"):
            return self.bonded(name, 0, policy=True, trained=False)
        return self.bonded(name, level, policy=node.type.trained, trained=isinstance(node, Logp | Output))

    def bonded(self, name: str, level: int, *, policy: bool, trained: bool) -> Any:
        """Make an atom, following the conditions."""
        bond = self.bonds.get(name)
        if bond is None:
            return self.atom(name, level, policy=policy, trained=trained and policy)
        level = 0 if bond.to == "n" else level
        base = (
            0
            if bond.to is None
            else self.bonded(
                bond.to, level, policy=bond.to.startswith(f"{MODELS[POLICY].letter}_"), trained=False
            )
        )
        factor = self.atom(bond.times, 0) if bond.times else 1
        return fraction(bond.scale) * factor * base + fraction(bond.offset)

    def stopped(self, inner: Any) -> Any:
        """Bring a stop-gradient into normal form."""
        if self.transparent:
            self.used.add(N6)
            return inner
        return self.opaque("sg", (inner,), self.about(inner).level)

    def product(self, factors: list[Any]) -> Any:
        """Multiply, unless the product has too many terms."""
        if math.prod(len(terms_of(f)) for f in factors) > MOST_TERMS:
            raise TooLargeError
        return sympy.Mul(*factors)

    def power(self, base: Any, n: int) -> Any:
        """Raise to a power; a long sum to a high power stays as it is."""
        count = len(terms_of(base))
        if n < 0 and count > 1:
            return self.inverse(base) ** -n
        if count < 2 or math.comb(count + n - 1, n) <= MOST_TERMS // 5:
            return base**n
        scale, core = self.scaled(base)
        return scale**n * self.call(f"power{n}", core)

    def inverse(self, base: Any) -> Any:
        """Make an atom of 1 over a sum, which expanding would otherwise mix with the numbers before it."""
        scale, core = self.scaled(base)
        atom = self.call("1/", core)
        self.inverses[atom] = core
        return atom / scale

    def scaled(self, z: Any) -> tuple[Any, Any]:
        """Split a sum into the number before its first term and the rest, so that multiples are recognised."""
        parts = [t.as_coeff_Mul() for t in terms_of(z)] or [(sympy.Integer(1), z)]
        first = min(parts, key=lambda p: (p[1] == 1, str(p[1])))[0]
        return first, expanded(z / first)

    def reduced(self, kind: str, over: str, inner: Any, argument: Node) -> Any:
        """Bring a reduction into normal form: sums of products of what varies along the axis."""
        if kind == "pairs":
            self.used.add(N3)
            total = self.total("group", inner, argument)
            size = self.bonded("k", 1, policy=False, trained=False)
            return size * self.total("group", self.product([inner, inner]), argument) - total**2
        total = self.total(over, inner, argument)
        if kind == "sum":
            return total
        return total / (
            self.atom("N", 0) if over == "batch" else self.bonded("k", 1, policy=False, trained=False)
        )

    def total(self, over: str, inner: Any, argument: Node) -> Any:
        """Sum over an axis, term by term."""
        return sum(self.sum_of(over, term, argument) for term in terms_of(expanded(inner)))

    def sum_of(self, over: str, term: Any, argument: Node) -> Any:
        """Sum one product: what does not vary along the axis stands outside."""
        inside: list[Any] = []
        outside: list[Any] = []
        for factor in sympy.Mul.make_args(term):
            (inside if self.about(factor).level >= OVER[over] else outside).append(factor)
        return sympy.Mul(*outside) * self.sum_atom(over, sympy.Mul(*inside), argument)

    def sum_atom(self, over: str, inside: Any, argument: Node) -> Any:
        """Make the atom of a sum; of a response's log-probabilities, of 1 over its tokens, it has a name."""
        if inside == 1:
            return self.count(over, argument)
        level = {"token": 2 if argument.type.axis.grouped else 1, "group": 1, "batch": 0}[over]
        about = self.about(inside)
        name = str(inside)
        if over == "token" and name.endswith(",t") and inside.is_Symbol:
            return self.bonded(name.removesuffix(",t"), level, policy=about.policy, trained=about.trained)
        return self.atom(f"Σ_{over}[{inside}]", level, policy=about.policy, trained=about.trained)

    def count(self, over: str, argument: Node) -> Any:
        """Count what an axis has."""
        if over == "batch":
            return self.atom("N", 0)
        if over == "group":
            return self.leaf(GroupSize())
        return self.leaf(Length(argument.type.axis.response))

    def applied(self, function: str, arguments: list[Any], node: Node) -> Any:
        """Bring a function of normal forms into normal form."""
        rule = RULES.get(function)
        if function == "at_most" and self.always(arguments, node):
            return sympy.Integer(1)
        return rule(self, *arguments) if rule else self.call(function, *arguments)

    def always(self, arguments: list[Any], node: Node) -> bool:
        """Tell whether a token's place is compared with the length of its own response."""
        place = next(iter(children(node)))
        return isinstance(place, Position) and arguments[1] == self.leaf(Length(place.response))

    def flipped(self, z: Any) -> tuple[Any, bool]:
        """Choose one of z and −z, always the same."""
        negative = bool(self.scaled(z)[0].is_negative)
        if negative:
            self.used.add(N1)
        return (expanded(-z) if negative else z), negative

"""Build nodes: arithmetic that folds constants and keeps sums and products flat."""

from __future__ import annotations

import math
from collections.abc import Iterable

from alignc.graph.functions import FUNCTIONS
from alignc.graph.nodes import (
    Add,
    Apply,
    Constant,
    Multiply,
    Named,
    NamedRole,
    Node,
    Over,
    Power,
    Reduce,
    Stop,
    UnitFactor,
)
from alignc.graph.types import NONE, Unit

__all__ = ["ONE", "ZERO", "add", "apply", "bare", "constant", "divide", "in_unit", "is_unit_factor", "mean_over",
           "multiply", "name", "negate", "power", "stop", "subtract", "sum_over"]  # fmt: skip

ZERO, ONE, MINUS_ONE = Constant(0.0), Constant(1.0), Constant(-1.0)


def constant(value: float) -> Node:
    """Make a number."""
    return Constant(float(value))


def add(*terms: Node) -> Node:
    """Add; nested sums are flattened, zeros left out, like terms counted once."""
    flat = [t for term in terms for t in (term.terms if isinstance(term, Add) else (term,))]
    number = math.fsum(t.value for t in flat if isinstance(t, Constant))
    rest = _like_terms(t for t in flat if not isinstance(t, Constant))
    kept = ((Constant(number),) if number else ()) + rest
    return kept[0] if len(kept) == 1 else Add(kept) if kept else ZERO


def _like_terms(terms: Iterable[Node]) -> tuple[Node, ...]:
    counts: dict[object, tuple[float, Node]] = {}
    for term in terms:
        number, rest = split_number(term)
        key = frozenset(rest.factors) if isinstance(rest, Multiply) else rest
        before, first = counts.get(key, (0.0, rest))
        counts[key] = (before + number, first)
    return tuple(multiply(Constant(c), rest) for c, rest in counts.values() if c)


def split_number(node: Node) -> tuple[float, Node]:
    """Split a product into its number and the rest."""
    if isinstance(node, Multiply) and isinstance(node.factors[0], Constant):
        rest = node.factors[1:]
        return node.factors[0].value, rest[0] if len(rest) == 1 else Multiply(rest)
    return 1.0, node


def multiply(*factors: Node) -> Node:
    """Multiply; nested products are flattened, the number comes first, powers of one base are joined."""
    flat = [f for factor in factors for f in (factor.factors if isinstance(factor, Multiply) else (factor,))]
    number = math.prod(f.value for f in flat if isinstance(f, Constant))
    if number == 0:
        return ZERO
    rest = _joined_powers(f for f in flat if not isinstance(f, Constant))
    kept = ((Constant(number),) if number != 1 or not rest else ()) + rest
    if len(kept) == 2 and number == -1 and isinstance(kept[1], Add):
        return add(*(multiply(MINUS_ONE, t) for t in kept[1].terms))
    return kept[0] if len(kept) == 1 else Multiply(kept)


def _joined_powers(factors: Iterable[Node]) -> tuple[Node, ...]:
    exponents: dict[Node, int] = {}
    for factor in factors:
        base, exponent = (factor.base, factor.exponent) if isinstance(factor, Power) else (factor, 1)
        exponents[base] = exponents.get(base, 0) + exponent
    return tuple(base if e == 1 else Power(base, e) for base, e in exponents.items() if e)


def negate(node: Node) -> Node:
    """Change the sign."""
    return multiply(MINUS_ONE, node)


def subtract(left: Node, right: Node) -> Node:
    """Subtract."""
    return add(left, negate(right))


def power(base: Node, exponent: int) -> Node:
    """Raise to an integer power."""
    if exponent == 0:
        return ONE
    if exponent == 1:
        return base
    if isinstance(base, Constant) and (base.value or exponent > 0):
        return Constant(base.value**exponent)
    if isinstance(base, Power):
        return power(base.base, base.exponent * exponent)
    if isinstance(base, Multiply):
        return multiply(*(power(f, exponent) for f in base.factors))
    return Power(base, exponent)


def divide(above: Node, below: Node) -> Node:
    """Divide."""
    return multiply(above, power(below, -1))


def bare(node: Node) -> Node:
    """Remove the unit of a value, for a function of plain numbers."""
    return in_unit(node, NONE)


def in_unit(node: Node, unit: Unit) -> Node:
    """Give a value a new unit, and drop its old unit."""
    return node if node.type.unit == unit else multiply(node, UnitFactor(unit / node.type.unit))


def is_unit_factor(factor: Node) -> bool:
    """Return whether a node is the number 1 in a unit, as a factor or a divisor."""
    return isinstance(factor.base if isinstance(factor, Power) else factor, UnitFactor)


def apply(function: str, *arguments: Node) -> Node:
    """Apply a function of the table; numbers are folded, and min or max of two equal nodes is this node."""
    if function == "min" and arguments[0] is arguments[-1]:
        return arguments[0]
    if all(isinstance(a, Constant) for a in arguments):
        value = FUNCTIONS[function].value(*(a.value for a in arguments))  # type: ignore[attr-defined]
        if math.isfinite(value):
            return Constant(value)
    return Apply(function, tuple(arguments))


def sum_over(over: Over, argument: Node) -> Node:
    """Sum over `token`, `group` or `batch`."""
    return Reduce("sum", over, argument)


def mean_over(over: Over, argument: Node) -> Node:
    """Average over `group` or `batch`; a mean over tokens is a sum divided by a length."""
    return Reduce("mean", over, argument)


def stop(argument: Node) -> Node:
    """Stop the gradient of a value."""
    return Stop(argument) if argument.type.trained else argument


def name(short: str, symbol: str, meaning: str, argument: Node, role: NamedRole = NamedRole.VALUE) -> Node:
    """Give a value a name that formula, source and metrics share."""
    return Named(short, symbol, meaning, argument, role)

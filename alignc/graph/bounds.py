"""The bounds of a value over all inputs: interval arithmetic on a graph.

The bounds hold, and need not be tight: what stands twice in a sum is taken as two values. Bounds that are not known are
infinite.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

from alignc.graph.functions import FUNCTIONS
from alignc.graph.nodes import (
    Add,
    Apply,
    Constant,
    GroupSize,
    Length,
    Logp,
    Matched,
    Multiply,
    Node,
    Parameter,
    Position,
    Power,
    Reduce,
    UnitFactor,
)
from alignc.graph.walk import children, walk

__all__ = ["ANY", "Bounds", "bounds", "usual"]

Bounds = tuple[float, float]
"""The least and the largest value; either may be infinite."""
ANY: Bounds = (-math.inf, math.inf)
FALLING = ("log1mexp",)


def usual(node: Node) -> Bounds:
    """Bound an input by what it is: a log-probability is at most 0, a length at least 1."""
    match node:
        case Logp():
            return -math.inf, 0.0
        case Length() | GroupSize() | Position():
            return 1.0, math.inf
    return ANY


def bounds(root: Node, given: Callable[[Node], Bounds] = usual) -> Bounds:
    """Bound a value for all inputs; `given` bounds each input."""
    known: dict[Node, Bounds] = {}
    for node in walk(root):
        known[node] = _bounds(node, [known[c] for c in children(node)], given)
    return known[root]


def _bounds(node: Node, inner: list[Bounds], given: Callable[[Node], Bounds]) -> Bounds:
    match node:
        case Constant(value=value) | Parameter(value=value):
            return value, value
        case UnitFactor():
            return 1.0, 1.0
        case Add():
            return _sum([low for low, _ in inner], -math.inf), _sum([high for _, high in inner], math.inf)
        case Multiply():
            return _product(inner)
        case Power(exponent=n):
            return _power(inner[0], n)
        case Apply(function=function):
            return _applied(function, inner)
        case Reduce(kind="pairs"):
            return 0.0, math.inf
        case Reduce(kind="sum"):
            return _summed(inner[0])
        case Matched():
            return inner[0]
    return inner[0] if inner else given(node)


def _sum(ends: list[float], unknown: float) -> float:
    total = sum(ends)
    return unknown if math.isnan(total) else total


def _product(inner: list[Bounds]) -> Bounds:
    found = inner[0]
    for other in inner[1:]:
        corners = [_times(a, b) for a, b in product(found, other)]
        found = min(corners), max(corners)
    return found


def _times(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b


def _power(base: Bounds, n: int) -> Bounds:
    low, high = base
    if n < 0:
        if low < 0 < high or low == high == 0:
            return (0.0, math.inf) if n % 2 == 0 and low != high else ANY
        inverse = (_inverse(high, -1 if low < 0 else 1), _inverse(low, -1 if low < 0 else 1))
        return _power(inverse, -n)
    ends = [_raised(low, n), _raised(high, n)]
    if n % 2 == 0:
        return (0.0 if low <= 0 <= high else min(ends)), max(ends)
    return ends[0], ends[1]


def _inverse(x: float, sign: int) -> float:
    return sign * math.inf if x == 0 else 1 / x


def _raised(x: float, n: int) -> float:
    try:
        return x**n
    except OverflowError:
        return -math.inf if x < 0 and n % 2 else math.inf


def _applied(function: str, inner: list[Bounds]) -> Bounds:
    """Bound a function of the table: all of one argument but |x| are monotone."""
    match function:
        case "abs":
            (low, high) = inner[0]
            return (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))
        case "at_most":
            (low, high), (least, most) = inner
            return float(high <= least), float(low <= most)
    value = FUNCTIONS[function].value
    ends = [value(*(b[0] for b in inner)), value(*(b[1] for b in inner))]
    low, high = reversed(ends) if function in FALLING else ends
    return (-math.inf if math.isnan(low) else low), (math.inf if math.isnan(high) else high)


def _summed(one: Bounds) -> Bounds:
    """Bound a sum of one or more values."""
    low, high = one
    return (low if low >= 0 else -math.inf), (high if high <= 0 else math.inf)

"""Evaluate a graph with 60 digits, where float64 cannot tell a small difference from rounding.

The meaning is that of `alignc.graph.evaluate`. Parameters count as the decimals that were written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mpmath

from alignc.diff.atoms import exact
from alignc.graph.evaluate import spread
from alignc.graph.nodes import (
    Add,
    Apply,
    Constant,
    Matched,
    Multiply,
    Named,
    Node,
    Parameter,
    Power,
    Reduce,
    Running,
    Stop,
    UnitFactor,
)
from alignc.graph.walk import children, walk

__all__ = ["DIGITS", "evaluated"]

DIGITS = 60
LARGEST = 1e6
"""The largest exponent that is computed: beyond it a value counts as infinite."""

MP = mpmath.mp.clone()
MP.dps = DIGITS
Number = Any


def _exp(x: Number) -> Number:
    if x > LARGEST:
        return MP.inf
    return MP.exp(x) if x > -LARGEST else MP.mpf(0)


def _expm1(x: Number) -> Number:
    return MP.inf if x > LARGEST else MP.expm1(x)


def _softplus(x: Number) -> Number:
    return max(x, MP.mpf(0)) + MP.log1p(_exp(-abs(x)))


def _sigmoid(x: Number) -> Number:
    return 1 / (1 + _exp(-x)) if x >= 0 else _exp(x) / (1 + _exp(x))


def _log(x: Number) -> Number:
    return MP.log(x) if x > 0 else -MP.inf if x == 0 else MP.nan


def _log1mexp(x: Number) -> Number:
    return _log(-MP.expm1(x)) if -LARGEST < x < 0 else MP.mpf(0) if x < 0 else -MP.inf if x == 0 else MP.nan


def _clip(x: Number, low: Number, high: Number) -> Number:
    return min(max(x, low), high)


FUNCTIONS: Mapping[str, Callable[..., Number]] = {
    "log_sigmoid": lambda x: -_softplus(-x),
    "softplus": _softplus,
    "sigmoid": _sigmoid,
    "exp": _exp,
    "log": _log,
    "log1mexp": _log1mexp,
    "log_odds": lambda x: x - _log1mexp(x),
    "relu": lambda x: max(MP.mpf(0), x),
    "step": lambda x: MP.mpf(x > 0),
    "abs": abs,
    "sign": lambda x: MP.mpf((x > 0) - (x < 0)),
    "min": min,
    "max": max,
    "clip": _clip,
    "at_most": lambda x, y: MP.mpf(x <= y),
    "tanh": lambda x: MP.tanh(x) if abs(x) < LARGEST else MP.mpf((x > 0) - (x < 0)),
    "sqrt": lambda x: MP.sqrt(x) if x >= 0 else MP.nan,
    "expm1": _expm1,
}
"""The pointwise functions of `alignc.graph.functions`; a test holds that none is missing."""


def evaluated(roots: Sequence[Node], inputs: Mapping[Node, Any]) -> list[Any]:
    """Compute the values of several nodes; numbers of the inputs count as the decimals that they show."""
    known: dict[Node, Any] = {}
    for node in walk(*roots):
        known[node] = _value(node, [known[c] for c in children(node)], inputs)
    return [known[r] for r in roots]


def _value(node: Node, arguments: list[Any], inputs: Mapping[Node, Any]) -> Any:
    match node:
        case Constant(value=value) | Parameter(value=value):
            return number(value)
        case UnitFactor():
            return MP.mpf(1)
        case Add():
            return spread(lambda *xs: MP.fsum(xs), *arguments)
        case Multiply():
            return spread(lambda *xs: MP.fprod(xs), *arguments)
        case Power(exponent=n):
            return spread(lambda x: _power(x, n), *arguments)
        case Apply(function=function):
            return spread(FUNCTIONS[function], *arguments)
        case Reduce(kind=kind, over=over):
            return _reduced(kind, over, arguments[0])
        case Stop() | Named():
            return arguments[0]
        case Matched():
            return _matched(*arguments)
        case Running():
            return _reduced("mean", "batch", arguments[0])
    return _numbers(inputs[node])


def number(value: float) -> Number:
    """Read a float as the decimal that was written."""
    found = exact(value)
    return MP.mpf(found.numerator) / found.denominator


def _numbers(value: Any) -> Any:
    return [_numbers(v) for v in value] if isinstance(value, list) else number(value)


def _power(x: Number, n: int) -> Number:
    return MP.inf if x == 0 and n < 0 else x**n


def _reduced(kind: str, over: str, value: Any) -> Any:
    if kind == "pairs":
        return [MP.fsum((x - y) ** 2 for i, x in enumerate(row) for y in row[:i]) for row in value]
    if over == "batch" or not (isinstance(value, list) and value and isinstance(value[0], list)):
        flat = value if isinstance(value, list) else [value]
        total = MP.fsum(flat)
        return total / len(flat) if kind == "mean" else total
    return [_reduced(kind, over, inner) for inner in value]


def _matched(values: list[Number], like: list[Number]) -> list[Number]:
    places = sorted(range(len(like)), key=lambda i: like[i])
    found = list(values)
    for place, value in zip(places, sorted(values), strict=True):
        found[place] = value
    return found

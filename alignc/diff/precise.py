"""Evaluate a graph with 60 digits, where float64 cannot tell a small difference from rounding.

The meaning is that of `alignc.graph.evaluate`. Parameters count as the decimals that were written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal, localcontext
from typing import Any

from alignc.diff.atoms import exact
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
LARGEST = 1_000_000
"""The largest exponent that is computed: beyond it a value counts as infinite."""
SMALL = Decimal("1e-18")
"""Below it a few terms of a power series are exact to all digits."""
ZERO, ONE = Decimal(0), Decimal(1)
CONTEXT = Context(prec=DIGITS, Emin=-(10**15), Emax=10**15, traps=[])
"""Arithmetic without exceptions: 1/0 is infinite, and what has no value is NaN."""


def _exp(x: Decimal) -> Decimal:
    if x > LARGEST:
        return Decimal("inf")
    return ZERO if x < -LARGEST else x.exp()


def _expm1(x: Decimal) -> Decimal:
    return x + x**2 / 2 + x**3 / 6 if abs(x) < SMALL else _exp(x) - 1


def _log(x: Decimal) -> Decimal:
    return x.ln() if x >= 0 else Decimal("nan")


def _log1p(x: Decimal) -> Decimal:
    return x - x**2 / 2 + x**3 / 3 if abs(x) < SMALL else _log(1 + x)


def _softplus(x: Decimal) -> Decimal:
    return max(x, ZERO) + _log1p(_exp(-abs(x)))


def _sigmoid(x: Decimal) -> Decimal:
    return 1 / (1 + _exp(-x)) if x >= 0 else _exp(x) / (1 + _exp(x))


def _log1mexp(x: Decimal) -> Decimal:
    if x > 0:
        return Decimal("nan")
    return _log1p(-_exp(x)) if x < -1 else _log(-_expm1(x))


def _tanh(x: Decimal) -> Decimal:
    half = _expm1(-2 * abs(x))
    return (-half / (half + 2)).copy_sign(x)


def _sign(x: Decimal) -> Decimal:
    return Decimal((x > 0) - (x < 0))


FUNCTIONS: Mapping[str, Callable[..., Decimal]] = {
    "log_sigmoid": lambda x: -_softplus(-x),
    "softplus": _softplus,
    "sigmoid": _sigmoid,
    "exp": _exp,
    "log": _log,
    "log1mexp": _log1mexp,
    "log_odds": lambda x: x - _log1mexp(x),
    "relu": lambda x: max(ZERO, x),
    "step": lambda x: Decimal(x > 0),
    "abs": abs,
    "sign": _sign,
    "min": min,
    "max": max,
    "clip": lambda x, low, high: min(max(x, low), high),
    "at_most": lambda x, y: Decimal(x <= y),
    "tanh": _tanh,
    "sqrt": lambda x: x.sqrt(),
    "expm1": _expm1,
}
"""The pointwise functions of `alignc.graph.functions`; a test holds that none is missing."""


def evaluated(roots: Sequence[Node], inputs: Mapping[Node, Any]) -> list[Any]:
    """Compute the values of several nodes; numbers of the inputs count as the decimals that they show."""
    known: dict[Node, Any] = {}
    with localcontext(CONTEXT):
        for node in walk(*roots):
            known[node] = _value(node, [known[c] for c in children(node)], inputs)
    return [known[r] for r in roots]


def _value(node: Node, arguments: list[Any], inputs: Mapping[Node, Any]) -> Any:
    match node:
        case Constant(value=value) | Parameter(value=value):
            return number(value)
        case UnitFactor():
            return ONE
        case Add():
            return spread(lambda *xs: sum(xs), *arguments)
        case Multiply():
            return spread(lambda *xs: math.prod(xs), *arguments)
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


def spread(function: Callable[..., Any], *values: Any) -> Any:
    """Apply a function elementwise; a number is spread over a list, rows over their tokens."""
    lists = [v for v in values if isinstance(v, list)]
    if not lists:
        return function(*values)
    return [
        spread(function, *(v[i] if isinstance(v, list) else v for v in values)) for i in range(len(lists[0]))
    ]


def number(value: float) -> Decimal:
    """Read a float as the decimal that was written."""
    found = exact(value)
    return Decimal(found.numerator) / found.denominator


def _numbers(value: Any) -> Any:
    return [_numbers(v) for v in value] if isinstance(value, list) else number(value)


def _power(x: Decimal, n: int) -> Decimal:
    return Decimal("inf") if x == 0 and n < 0 else x**n


def _reduced(kind: str, over: str, value: Any) -> Any:
    if kind == "pairs":
        return [sum((x - y) ** 2 for i, x in enumerate(row) for y in row[:i]) for row in value]
    if over == "batch" or not (isinstance(value, list) and value and isinstance(value[0], list)):
        flat = value if isinstance(value, list) else [value]
        total = sum(flat)
        return total / len(flat) if kind == "mean" else total
    return [_reduced(kind, over, inner) for inner in value]


def _matched(values: list[Decimal], like: list[Decimal]) -> list[Decimal]:
    places = sorted(range(len(like)), key=lambda i: like[i])
    found = list(values)
    for place, value in zip(places, sorted(values), strict=True):
        found[place] = value
    return found

"""Evaluate: the meaning of a graph, in float64 and without any tensor library.

A value of axis `sequence` is a list over rows, of `group` a list over rows of lists, and of tokens one level
deeper; a value of a coarser axis is spread over a finer one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, assert_never

from alignc.graph.functions import FUNCTIONS
from alignc.graph.nodes import (
    Add,
    Apply,
    Constant,
    Matched,
    Multiply,
    Named,
    Node,
    Over,
    Parameter,
    Power,
    Reduce,
    Reduction,
    Running,
    Stop,
    UnitFactor,
)
from alignc.graph.walk import children, walk

__all__ = ["Values", "evaluate"]

Values = Mapping[Node, Any]
"""The inputs: nested lists for each Column, Length and Logp."""


def evaluate(root: Node, inputs: Values, held: Values | None = None) -> Any:
    """Compute a node's value: a float, or nested lists of floats. Raises KeyError for an input not given.

    A node of `held` has the value given there, whatever its arguments are.
    """
    known: dict[Node, Any] = dict(held or {})
    for node in walk(root):
        if node not in known:
            known[node] = _value(node, known, inputs)
    return known[root]


def _value(node: Node, known: dict[Node, Any], inputs: Values) -> Any:
    arguments = [known[c] for c in children(node)]
    match node:
        case Constant(value=value) | Parameter(value=value):
            return value
        case UnitFactor():
            return 1.0
        case Add():
            return spread(lambda *xs: math.fsum(xs) if all(map(math.isfinite, xs)) else sum(xs), *arguments)
        case Multiply():
            return spread(lambda *xs: math.prod(xs), *arguments)
        case Power(exponent=n):
            return spread(lambda x: _power(x, n), *arguments)
        case Apply(function=function):
            return spread(FUNCTIONS[function].value, *arguments)
        case Reduce(kind=kind, over=over):
            return _reduce(kind, over, arguments[0])
        case Stop() | Named():
            return arguments[0]
        case Matched():
            return _matched(*arguments)
        case Running():
            return _reduce("mean", "batch", arguments[0])
    return inputs[node]


def _matched(values: list[float], like: list[float]) -> list[float]:
    """Give each row the value that has the rank of the row's `like`."""
    ordered = sorted(values)
    places = sorted(range(len(like)), key=lambda i: like[i])
    found = [0.0] * len(like)
    for rank, row in enumerate(places):
        found[row] = ordered[rank]
    return found


def _pairs(row: list[float]) -> float:
    return math.fsum((x - y) ** 2 for i, x in enumerate(row) for y in row[:i])


def _power(x: float, n: int) -> float:
    if x == 0 and n < 0:
        return math.inf
    try:
        return x**n
    except OverflowError:
        return -math.inf if x < 0 and n % 2 else math.inf


def spread(function: Callable[..., float], *values: Any) -> Any:
    """Apply a function elementwise; a number is spread over a list, rows over their tokens."""
    lists = [v for v in values if isinstance(v, list)]
    if not lists:
        return function(*values)
    size = len(lists[0])
    if any(len(v) != size for v in lists):
        raise ValueError(f"values of {[len(v) for v in lists]} items do not go together")
    return [spread(function, *(v[i] if isinstance(v, list) else v for v in values)) for i in range(size)]


def _reduce(kind: Reduction, over: Over, value: Any) -> Any:
    if kind == "pairs":
        return [_pairs(row) for row in value]
    if over == "batch" or not (isinstance(value, list) and value and isinstance(value[0], list)):
        flat = value if isinstance(value, list) else [value]
        total = math.fsum(flat) if all(map(math.isfinite, flat)) else sum(flat)
        match kind:
            case "sum":
                return total
            case "mean":
                return total / len(flat)
            case _:
                assert_never(kind)
    return [_reduce(kind, over, inner) for inner in value]

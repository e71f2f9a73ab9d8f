"""Evaluate: the meaning of a graph, in float64 and without any tensor library.

A value of axis `sequence` is a list over rows, of `group` a list over rows of lists, and of tokens one level
deeper; a value of a coarser axis is spread over a finer one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from alignc.graph.functions import FUNCTIONS
from alignc.graph.nodes import (
    Add,
    Apply,
    Constant,
    Multiply,
    Named,
    Node,
    Parameter,
    Power,
    Reduce,
    Stop,
    children,
    walk,
)

__all__ = ["Values", "evaluate"]

Values = Mapping[Node, Any]
"""The inputs: nested lists for each Column, Length and Logp."""


def evaluate(root: Node, inputs: Values) -> Any:
    """Compute a node's value: a float, or nested lists of floats. Raises KeyError for an input not given."""
    known: dict[Node, Any] = {}
    for node in walk(root):
        known[node] = _value(node, known, inputs)
    return known[root]


def _value(node: Node, known: dict[Node, Any], inputs: Values) -> Any:
    arguments = [known[c] for c in children(node)]
    match node:
        case Constant(value=value) | Parameter(value=value):
            return value
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
    return inputs[node]


def _power(x: float, n: int) -> float:
    if x == 0 and n < 0:
        return math.inf
    return x**n


def spread(function: Callable[..., float], *values: Any) -> Any:
    """Apply a function elementwise; a number is spread over a list, rows over their tokens."""
    lists = [v for v in values if isinstance(v, list)]
    if not lists:
        return function(*values)
    size = len(lists[0])
    if any(len(v) != size for v in lists):
        raise ValueError(f"values of {[len(v) for v in lists]} items do not go together")
    return [spread(function, *(v[i] if isinstance(v, list) else v for v in values)) for i in range(size)]


def _reduce(kind: str, over: str, value: Any) -> Any:
    if over == "batch" or not (isinstance(value, list) and value and isinstance(value[0], list)):
        flat = value if isinstance(value, list) else [value]
        total = math.fsum(flat) if all(map(math.isfinite, flat)) else sum(flat)
        return total / len(flat) if kind == "mean" else total
    return [_reduce(kind, over, inner) for inner in value]

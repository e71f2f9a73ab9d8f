"""Evaluate a graph on arrays: the meaning of `graph.evaluate`, for many rows at once.

A value has the axes rows, responses and tokens, as far as it varies along them. Tokens are padded at the end; a mask
by response says which are real, and reductions leave the others out.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    UnitFactor,
)
from alignc.graph.walk import children, walk

__all__ = ["Array", "Masks", "evaluate_arrays"]

Array = NDArray[np.float64]
Masks = Mapping[str, Array]
"""By response: which tokens are real, with the axes of its tokens."""


def evaluate_arrays(root: Node, given: Mapping[Node, Array], masks: Masks) -> Array:
    """Compute a node's value from arrays for its inputs. Raises KeyError for an input not given."""
    known: dict[Node, Array] = {}
    with np.errstate(all="ignore"):
        for node in walk(root):
            known[node] = _value(node, known, given, masks)
    return known[root]


def _value(node: Node, known: Mapping[Node, Array], given: Mapping[Node, Array], masks: Masks) -> Array:
    arguments = [known[c] for c in children(node)]
    match node:
        case Constant(value=value) | Parameter(value=value):
            return np.float64(value)  # type: ignore[return-value]
        case UnitFactor():
            return np.float64(1.0)  # type: ignore[return-value]
        case Add():
            return _folded(np.add, arguments)
        case Multiply():
            return _folded(np.multiply, arguments)
        case Power(exponent=n):
            return np.asarray(arguments[0], float) ** n
        case Apply(function=name):
            found = _elementwise(name)(*_together(arguments))
            return np.asarray(found, dtype=np.float64)
        case Reduce():
            return _reduced(node, arguments[0], masks)
        case Stop() | Named():
            return arguments[0]
    return given[node]


@lru_cache(maxsize=64)
def _elementwise(name: str) -> Any:
    """Make the scalar meaning of a function one over arrays."""
    value = FUNCTIONS[name].value
    return np.frompyfunc(lambda *xs: value(*map(float, xs)), len(FUNCTIONS[name].derivative), 1)


def _together(values: list[Array]) -> list[Array]:
    """Give every value the axes of the finest: further axes are added at the end."""
    most = max(np.ndim(v) for v in values)
    return [np.reshape(v, np.shape(v) + (1,) * (most - np.ndim(v))) if np.ndim(v) else v for v in values]


def _folded(operation: Any, values: list[Array]) -> Array:
    first, *others = _together(values)
    for other in others:
        first = operation(first, other)
    return first


def _reduced(node: Reduce, value: Array, masks: Masks) -> Array:
    axis = node.argument.type.axis
    if node.kind == "pairs":
        apart = value[..., :, None] - value[..., None, :]
        return np.asarray((apart**2).sum(axis=(-1, -2)) / 2)
    if node.over == "batch":
        return np.asarray(value.sum() if node.kind == "sum" else value.mean())
    if not axis.by_token:
        return np.asarray(value.sum(axis=-1) if node.kind == "sum" else value.mean(axis=-1))
    mask = masks[axis.response]
    total = np.where(mask > 0, value, 0.0).sum(axis=-1)
    return np.asarray(total if node.kind == "sum" else total / mask.sum(axis=-1))

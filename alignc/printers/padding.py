"""Where a row has fewer responses than another, tensors have places without a response: what is not finite there.

Such a place holds log-probabilities and columns of 0 and counts as one token. A sum over the group leaves it out, but a
gradient of NaN passes even through what is left out. So no function may meet a place where its value or slope is not
finite.
"""

from __future__ import annotations

import math
from typing import Any

from alignc.graph.build import constant
from alignc.graph.evaluate import evaluate
from alignc.graph.functions import FUNCTIONS
from alignc.graph.gradient import from_formula
from alignc.graph.nodes import Apply, Length, Node, Position, Power
from alignc.graph.rewrite import inputs
from alignc.graph.types import GROUP, Axis

__all__ = ["breaks_at_padding"]

TOTAL = frozenset(
    [
        "log_sigmoid",
        "softplus",
        "sigmoid",
        "relu",
        "step",
        "abs",
        "sign",
        "min",
        "max",
        "clip",
        "at_most",
        "tanh",
    ]
)
"""The functions that are finite, with a finite slope, at every number."""


def breaks_at_padding(node: Node) -> bool:
    """Tell a function or a power of a response that may not be finite at a place without a response."""
    if node.type.axis != GROUP:
        return False
    match node:
        case Apply(function=function, arguments=arguments):
            return function not in TOTAL and not _finite(function, arguments)
        case Power(base=base, exponent=n) if n < 0:
            return not isinstance(base, Length) and _at_padding(base) in (None, 0.0)
    return False


def _finite(function: str, arguments: tuple[Node, ...]) -> bool:
    """Tell whether value and slopes of a function are finite at a place without a response."""
    values = [_at_padding(a) for a in arguments]
    known = {
        name: constant(v)
        for name, v in zip("xyz", values, strict=False)
        if v is not None and math.isfinite(v)
    }
    if len(known) < len(values):
        return False
    row = FUNCTIONS[function]
    numbers = [evaluate(from_formula(slope, dict(known)), {}) for slope in row.derivative]
    return all(map(math.isfinite, (*numbers, row.value(*(v for v in values if v is not None)))))


def _at_padding(node: Node) -> float | None:
    """Evaluate what a place without a response holds; None where it depends on the row or on the batch."""
    read = inputs(node)
    if any(not n.type.axis.grouped for n in read):
        return None
    given = {n: [[_padded(n.type.axis, 1.0 if isinstance(n, Length | Position) else 0.0)]] for n in read}
    found = evaluate(node, given)
    while isinstance(found, list):
        found = found[0]
    return float(found)


def _padded(axis: Axis, value: float) -> Any:
    return [value] if axis.by_token else value

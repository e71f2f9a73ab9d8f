"""The sign of a value from its form: log-probabilities are below 0, lengths and probabilities above 0."""

from __future__ import annotations

import math

from alignc.graph.evaluate import evaluate
from alignc.graph.nodes import (
    Add,
    Apply,
    Column,
    GroupSize,
    Length,
    Logp,
    Multiply,
    Named,
    Node,
    Position,
    Power,
    Reduce,
    Stop,
)
from alignc.graph.types import CONSTANT

__all__ = ["sign"]

POSITIVE = {"sigmoid", "exp", "softplus", "step", "abs", "sqrt", "relu", "at_most"}
NEGATIVE = {"log_sigmoid", "log1mexp"}
ODD = {"tanh", "expm1", "sign"}
BOUNDS = {"min", "max", "clip"}


def sign(node: Node) -> int | None:
    """Return 1 for a value that is never negative, −1 for never positive, 0 for zero, and None for unknown."""
    if node.type.axis == CONSTANT:
        value = float(evaluate(node, {}))
        return (value > 0) - (value < 0)
    match node:
        case Length() | GroupSize() | Position() | Column(name="label" | "win_rate"):
            return 1
        case Logp():
            return -1
        case Named(argument=inner) | Stop(argument=inner):
            return sign(inner)
        case Reduce(kind=kind, argument=inner):
            return 1 if kind == "pairs" else sign(inner)
    return _compound(node)


def _compound(node: Node) -> int | None:
    match node:
        case Apply(function=function, arguments=arguments):
            if function in ODD:
                return sign(arguments[0])
            if function in BOUNDS:
                return _bounded(function, [sign(a) for a in arguments])
            return 1 if function in POSITIVE else -1 if function in NEGATIVE else None
        case Power(base=base, exponent=n):
            return 1 if n % 2 == 0 else sign(base)
        case Multiply(factors=factors):
            found = [sign(f) for f in factors]
            return None if None in found else math.prod(f for f in found if f is not None)
        case Add(terms=terms):
            signs = {sign(t) for t in terms} - {0}
            return signs.pop() if len(signs) == 1 else None if signs else 0
    return None


def _bounded(function: str, signs: list[int | None]) -> int | None:
    """Find the sign of a number between bounds; a clip has its lower and its upper bound last."""
    if function == "clip":
        _, low, high = signs
        return 1 if low in (0, 1) else -1 if high in (0, -1) else None
    known = {s for s in signs if s}
    settles = -1 if function == "min" else 1
    if settles in known:
        return settles
    return None if None in signs else known.pop() if known else 0

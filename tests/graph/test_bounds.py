"""Bounds of values hold at random inputs, are those of calculus where these are known, and are not merely infinite."""

from __future__ import annotations

import math
import random

import pytest

from alignc.graph import build as b
from alignc.graph.bounds import bounds, usual
from alignc.graph.evaluate import evaluate
from alignc.graph.functions import FUNCTIONS
from alignc.graph.gradient import from_formula
from alignc.graph.nodes import Column, Length, Logp, Node
from alignc.graph.types import Unit

X, Y = Column("x", None, Unit()), Column("y", None, Unit())


def within(low: float, high: float) -> dict[Node, tuple[float, float]]:
    return {X: (low, high), Y: (-1.0, 2.0)}


KNOWN = {
    "x**2": (0, 9), "x**3": (-8, 27), "1/(x+3)": (1 / 6, 1), "1/x**2": (0, math.inf), "1/x": (-math.inf, math.inf),
    "abs(x)": (0, 3), "sigmoid(x)*sigmoid(-x)": (1 / (1 + math.exp(2)) / (1 + math.exp(3)), None), "-2*x+1": (-5, 5),
    "step(x)": (0, 1), "relu(x-1)": (0, 2), "exp(-x)": (math.exp(-3), math.exp(2)), "log1mexp(x-4)": (None, None),
    "at_most(x, y)": (0, 1), "at_most(x, 5)": (1, 1), "min(x, y)": (-2, 2),
    "max(x, y)": (-1, 3), "log(x)": (None, None),
    "clip(x, -1, 1)": (-1, 1), "sqrt(x+2)": (0, math.sqrt(5)),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), KNOWN.items())
def test_bounds_of_calculus(text: str, expected: tuple[float | None, float | None]) -> None:
    found = bounds(from_formula(text, {"x": X, "y": Y}), within(-2, 3).__getitem__)
    for end, number in zip(found, expected, strict=True):
        assert number is None or end == pytest.approx(number)


@pytest.mark.parametrize("seed", range(400))
def test_values_lie_within(seed: int) -> None:
    """Whatever the tree of operators is, values at random inputs lie within its bounds."""
    rng = random.Random(seed)
    node = tree(rng, 4)
    low, high = sorted((rng.gauss(0, 3), rng.gauss(0, 3)))
    found = bounds(node, within(low, high).__getitem__)
    for _ in range(20):
        value = evaluate(node, {X: [rng.uniform(low, high)], Y: [rng.uniform(-1, 2)]})
        value = value[0] if isinstance(value, list) else value
        near = 1e-9 * (1 + abs(value)) if math.isfinite(value) else 0.0
        assert math.isnan(value) or found[0] - near <= value <= found[1] + near


def tree(rng: random.Random, depth: int) -> Node:
    if depth == 0:
        return rng.choice((X, Y, b.constant(rng.gauss(0, 2))))
    match rng.randrange(4):
        case 0:
            row = FUNCTIONS[rng.choice(sorted(FUNCTIONS))]
            if row.name == "clip":
                return b.apply("clip", tree(rng, depth - 1), b.constant(-1), b.constant(1.5))
            return b.apply(row.name, *(tree(rng, depth - 1) for _ in row.derivative))
        case 1:
            return b.power(tree(rng, depth - 1), rng.choice((2, 3, -1, -2)))
        case 2:
            return b.multiply(tree(rng, depth - 1), tree(rng, depth - 1))
        case _:
            return b.add(tree(rng, depth - 1), tree(rng, depth - 1))


def test_inputs_have_the_bounds_of_what_they_are() -> None:
    """A mean log-probability is at most 0; −β/n lies in [−β, 0)."""
    mean = b.divide(b.sum_over("token", Logp("policy", "chosen")), Length("chosen"))
    assert bounds(mean, usual) == (-math.inf, 0)
    assert bounds(b.divide(b.constant(-2), Length("chosen")), usual) == (-2, 0)

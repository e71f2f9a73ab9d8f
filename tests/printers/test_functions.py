"""The table of functions: float64 meaning, torch, sympy and derivative say the same."""

from __future__ import annotations

import math
import random

import pytest
import sympy
import torch
from torch.nn import functional as F

from alignc.emit.tools import TOOLS
from alignc.graph.build import apply
from alignc.graph.evaluate import evaluate
from alignc.graph.functions import FUNCTIONS, Function
from alignc.graph.gradient import from_formula
from alignc.graph.nodes import Column
from alignc.graph.types import Unit

SLOPES = {"clip": 1}
"""How many arguments have a slope, where not all: the bounds of a clip are numbers of the spec."""
X, Y, Z = (Column(name, None, Unit()) for name in ("margin", "label", "reward"))
BELOW_ZERO = {"log1mexp", "log_odds"}
ABOVE_ZERO = {"log", "sqrt"}
ROWS = list(FUNCTIONS.values())
SYMPY = {
    "log_sigmoid": "log(1/(1+exp(-(x))))",
    "softplus": "log(1+exp(x))",
    "sigmoid": "1/(1+exp(-(x)))",
    "exp": "exp(x)",
    "log": "log(x)",
    "log1mexp": "log(1-exp(x))",
    "log_odds": "(x)-log(1-exp(x))",
    "relu": "Max(0, x)",
    "step": "Heaviside(x)",
    "abs": "Abs(x)",
    "sign": "sign(x)",
    "min": "Min(x, y)",
    "max": "Max(x, y)",
    "tanh": "tanh(x)",
    "sqrt": "sqrt(x)",
    "expm1": "(exp(x)-1)",
}
"""The functions as sympy has them, written by hand; a clip and a comparison are not among them."""


def points(row: Function) -> list[list[float]]:
    rng = random.Random(row.name)
    draws = [rng.uniform(-6, 6) for _ in range(30)] + [-30.0, -0.3, -1e-3, 1e-3, 0.7, 30.0]
    if row.name in BELOW_ZERO:
        draws = [-abs(x) for x in draws]
    if row.name in ABOVE_ZERO:
        draws = [abs(x) for x in draws]
    return [[x, y := rng.uniform(-6, 6), y + rng.uniform(0.1, 6)][: len(row.derivative)] for x in draws]


def torch_value(row: Function, arguments: list[float]) -> float:
    names = {f"a{i}": torch.tensor(a, dtype=torch.float64) for i, a in enumerate(arguments)}
    scope = {"torch": torch, "F": F, "Tensor": torch.Tensor, **names}
    for name in ("log1mexp", "log_odds", "at_most"):
        exec(TOOLS[name], scope)
    return float(eval(row.torch.format(", ".join(names)), scope))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_torch_means_the_same(row: Function) -> None:
    for arguments in points(row):
        assert torch_value(row, arguments) == pytest.approx(row.value(*arguments), rel=1e-13, abs=1e-300)


@pytest.mark.parametrize("name", SYMPY)
def test_sympy_means_the_same(name: str) -> None:
    row, (x, y) = FUNCTIONS[name], sympy.symbols("x y")
    expression = sympy.sympify(SYMPY[name])
    for arguments in points(row)[:10]:
        value = expression.subs(dict(zip((x, y), map(sympy.Float, arguments), strict=False))).evalf(30)
        assert float(value) == pytest.approx(row.value(*arguments), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_derivative_is_the_slope(row: Function) -> None:
    for arguments in points(row):
        for place, formula in enumerate(row.derivative[: SLOPES.get(row.name)]):
            slope = from_formula(formula, dict(zip("xyz", (X, Y, Z), strict=True)))
            given = dict(zip((X, Y, Z), ([a] for a in arguments), strict=False))
            found = evaluate(slope, given)
            step = 1e-6 * max(1.0, abs(arguments[place]))
            step = min(step, abs(arguments[place]) / 10)
            up, down = ([a + s * (i == place) for i, a in enumerate(arguments)] for s in (step, -step))
            expected = (row.value(*up) - row.value(*down)) / (2 * step)
            flat = found[0] if isinstance(found, list) else found
            assert flat == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_constants_fold_to_the_meaning(row: Function) -> None:
    from alignc.graph.build import constant
    from alignc.graph.nodes import Constant

    arguments = [-0.5 if row.name in BELOW_ZERO else 0.5, 0.25, 0.75][: len(row.derivative)]
    folded = apply(row.name, *map(constant, arguments))
    assert isinstance(folded, Constant)
    assert folded.value == row.value(*arguments)


EXTREMES = {
    "log_sigmoid": {-1800.0: -1800.0, 1800.0: 0.0},
    "softplus": {-1800.0: 0.0, 1800.0: 1800.0},
    "sigmoid": {-1800.0: 0.0, 1800.0: 1.0, -745.2: 0.0},
    "exp": {-1800.0: 0.0, 1800.0: math.inf},
    "expm1": {-1800.0: -1.0, 1800.0: math.inf},
    "log": {0.0: -math.inf},
    "log1mexp": {-1e-8: math.log(1e-8) - 0.5e-8, -1800.0: 0.0, 0.0: -math.inf},
    "log_odds": {-1e-8: -math.log(1e-8) - 0.5e-8, -1800.0: -1800.0},
    "tanh": {-1800.0: -1.0, 1800.0: 1.0},
}


@pytest.mark.parametrize("name", EXTREMES)
def test_far_out(name: str) -> None:
    for x, expected in EXTREMES[name].items():
        assert FUNCTIONS[name].value(x) == pytest.approx(expected, rel=1e-12)
        assert torch_value(FUNCTIONS[name], [x]) == pytest.approx(expected, rel=1e-12)

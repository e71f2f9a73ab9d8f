"""The evaluation with 60 digits against an independent library with as many."""

from __future__ import annotations

import random
from decimal import Decimal, localcontext

import mpmath
import pytest

from alignc.diff.precise import CONTEXT, FUNCTIONS, number
from alignc.graph import functions

MP = mpmath.mp.clone()
MP.dps = 80
EXPECTED = {
    "softplus": lambda x: MP.log1p(MP.exp(x)),
    "log_sigmoid": lambda x: -MP.log1p(MP.exp(-x)),
    "sigmoid": lambda x: 1 / (1 + MP.exp(-x)),
    "exp": MP.exp,
    "expm1": MP.expm1,
    "tanh": MP.tanh,
    "log1mexp": lambda x: MP.log1p(-MP.exp(-abs(x))),
    "log_odds": lambda x: -abs(x) - MP.log1p(-MP.exp(-abs(x))),
    "log": lambda x: MP.log(abs(x)),
    "sqrt": lambda x: MP.sqrt(abs(x)),
}
NEGATIVE, POSITIVE = ("log1mexp", "log_odds"), ("log", "sqrt")


def test_no_function_is_missing() -> None:
    assert FUNCTIONS.keys() == functions.FUNCTIONS.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_functions_have_fifty_digits(name: str) -> None:
    rng = random.Random(name)
    for size in (1e-30, 1e-17, 1e-3, 1.0, 30.0, 400.0):
        for _ in range(4):
            x = repr(rng.uniform(-size, size))
            given = Decimal(x) if name not in NEGATIVE + POSITIVE else abs(Decimal(x))
            given = -given if name in NEGATIVE else given

            with localcontext(CONTEXT):
                found = FUNCTIONS[name](given)
            expected = EXPECTED[name](MP.mpf(x))
            assert abs(MP.mpf(str(found)) - expected) <= abs(expected) * MP.mpf(10) ** -40, (name, x)


def test_numbers_are_the_decimals_that_were_written() -> None:
    assert number(0.1) == Decimal("0.1")
    assert number(0.1000001) == Decimal("0.1000001")
    assert abs(number(1 / 3) * 3 - 1) < Decimal("1e-27")

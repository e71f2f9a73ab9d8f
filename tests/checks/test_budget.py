"""Formulas of KL estimators whose algebra would never end: the budget is counted, the rest is undecided."""

from __future__ import annotations

import pytest
import sympy as sp

from alignc.theory.budget import affordable, terms
from alignc.theory.divergence import meaning
from alignc.theory.kinds import Kind

U = sp.Symbol("u", real=True)
LONG = (
    "relu(1-u)", "((1+u)**64)**64", "abs((relu(1-u))**64)", "(1+u+u*u)**-64", "(1+u+u**2+u**3)**64", "relu(u-3)**64",
    "relu(2-u)**7", "exp(exp(exp(u)))**64", "abs(abs(abs(u-1)-1)-1)**63",
    "(u**64+1)**-64", "tanh(relu(u+1))**64", "sqrt(1+relu(1-u)**64)", "log(1+(1+u*u)**64)",
)  # fmt: skip


@pytest.mark.parametrize("formula", LONG)
@pytest.mark.parametrize("placement", ["reward", "loss", "ratio"])
def test_every_formula_has_a_verdict(formula: str, placement: str) -> None:
    assert meaning(formula, placement).kind in Kind  # type: ignore[arg-type]


def test_steep_curves_are_undecided_and_no_saddles() -> None:
    """κ = (1 + u)^4096 pulls back near 0, with a slope of 4096; no proof of the rest fits the budget."""
    assert meaning("((1+u)**64)**64", "reward").kind is Kind.NONCONVEX
    assert meaning("((1+u)**64)**64", "loss").kind is Kind.UNDECIDED


@pytest.mark.parametrize(
    ("expression", "count"),
    [
        (U, 1),
        (1 + U, 2),
        ((1 + U) ** 3, 4),
        ((1 + U + U**2) ** 2, 6),
        ((1 + U) ** -5, 6),
        (U * (1 + U) ** 2, 3),
    ],
)
def test_terms_after_an_expansion(expression: sp.Expr, count: int) -> None:
    assert terms(expression) == count


def test_the_budget() -> None:
    assert affordable(U**2 / 2 + sp.exp(-U))
    assert affordable(sp.Abs(U) + sp.sign(U))
    assert not affordable(sp.Max(0, 1 - U))
    assert not affordable(sp.Abs(1 - U))
    assert not affordable((1 + U) ** 13)
    assert not affordable((1 + U + U**2 + sp.exp(U)) ** 6)

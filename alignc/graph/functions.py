"""The pointwise functions: one row each, with its meaning in float64 and its spelling everywhere else.

A derivative is written in the same language (`alignc.formula.parsing`), with `x` for the argument.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["FUNCTIONS", "Function"]


@dataclass(frozen=True)
class Function:
    """A pointwise function of one argument, or of up to three."""

    name: str
    value: Callable[..., float]
    derivative: tuple[str, ...]
    """By argument; formulas over x (and y, z)."""
    text: str
    latex: str
    torch: str
    any_unit: bool = False
    """Accepts any unit: the value keeps the unit (abs, max), or has none if the function is flat (sign)."""
    flat: bool = False
    """The derivative is zero wherever it exists."""


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else 0.0 if x <= -745 else math.exp(x) / (1 + math.exp(x))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _exp(x: float) -> float:
    return math.inf if x >= 709.78 else math.exp(x)


def _log1mexp(x: float) -> float:
    """log(1 − e^x) for x < 0, exact near 0 and far from it (Mächler 2012)."""
    if not x < 0:
        return -math.inf if x == 0 else math.nan
    return math.log(-math.expm1(x)) if x > -math.log(2) else math.log1p(-math.exp(x))


def _sign(x: float) -> float:
    return x if math.isnan(x) else float((x > 0) - (x < 0))


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan


def _sqrt(x: float) -> float:
    return math.sqrt(x) if x >= 0 else math.nan


def _least(x: float, y: float) -> float:
    return math.nan if math.isnan(y) else min(x, y)


def _most(x: float, y: float) -> float:
    return math.nan if math.isnan(y) else max(x, y)


def _expm1(x: float) -> float:
    return math.inf if x >= 709.78 else math.expm1(x)


_ROWS = (
    Function("log_sigmoid", lambda x: -_softplus(-x), ("sigmoid(-x)",), "log σ({})",
             r"\log \sigma\left({}\right)", "F.logsigmoid({})"),
    Function("softplus", _softplus, ("sigmoid(x)",), "softplus({})",
             r"\operatorname{{softplus}}\left({}\right)", "-F.logsigmoid(-({}))"),
    Function("sigmoid", _sigmoid, ("sigmoid(x)*sigmoid(-x)",), "σ({})",
             r"\sigma\left({}\right)", "torch.sigmoid({})"),
    Function("exp", _exp, ("exp(x)",), "exp({})", r"\exp\left({}\right)", "torch.exp({})"),
    Function("log", _log, ("1/x",), "log({})", r"\log\left({}\right)", "torch.log({})"),
    Function("log1mexp", _log1mexp, ("-exp(x-log1mexp(x))",), "log(1 − exp({}))",
             r"\log\left(1 - e^{{{}}}\right)", "log1mexp({})"),
    Function("log_odds", lambda x: x - _log1mexp(x), ("-1/expm1(x)",), "logodds({})",
             r"\operatorname{{logodds}}\left({}\right)", "log_odds({})"),
    Function("relu", lambda x: max(x, 0.0), ("step(x)",), "max(0, {})",
             r"\max\left(0, {}\right)", "F.relu({})", any_unit=True),
    Function("step", lambda x: float(x > 0), ("0*x",), "1[{} > 0]",
             r"\mathbf{{1}}\left[{} > 0\right]", "({} > 0).double()", any_unit=True, flat=True),
    Function("abs", abs, ("sign(x)",), "|{}|", r"\left|{}\right|", "torch.abs({})", any_unit=True),
    Function("sign", _sign, ("0*x",), "sign({})", r"\operatorname{{sign}}\left({}\right)",
             "torch.sign({})", any_unit=True, flat=True),
    Function("min", _least, ("at_most(x, y)", "1-at_most(x, y)"), "min({})", r"\min\left({}\right)",
             "torch.minimum({})", any_unit=True),
    Function("max", _most, ("at_most(y, x)", "1-at_most(y, x)"), "max({})", r"\max\left({}\right)",
             "torch.maximum({})", any_unit=True),
    Function("clip", lambda x, y, z: _least(_most(x, y), z), ("at_most(y, x)*at_most(x, z)", "0*x", "0*x"), "clip({})",
             r"\operatorname{{clip}}\left({}\right)", "torch.clamp({})", any_unit=True),
    Function("at_most", lambda x, y: float(x <= y), ("0*x", "0*y"), "1[{}]", r"\mathbf{{1}}\left[{}\right]",
             "at_most({})", any_unit=True, flat=True),
    Function("tanh", math.tanh, ("1-tanh(x)**2",), "tanh({})", r"\tanh\left({}\right)", "torch.tanh({})"),
    Function("sqrt", _sqrt, ("1/(2*sqrt(x))",), "√({})", r"\sqrt{{{}}}", "torch.sqrt({})"),
    Function("expm1", _expm1, ("exp(x)",), "(exp({}) − 1)", r"\left(e^{{{}}} - 1\right)",
             "torch.expm1({})"),
)  # fmt: skip

FUNCTIONS: Mapping[str, Function] = {row.name: row for row in _ROWS}

"""The rules of the pointwise functions: one form where a function has several such as softplus(z) and softplus(−z)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import sympy

from alignc.diff.polynomial import expanded, terms_of

__all__ = ["N1", "RULES", "Form"]

N1 = "softplus(z) = softplus(−z) + z, and so for σ, max and |·|"
EXP = "exp(a + b) = exp(a)·exp(b)"


class Form(Protocol):
    """What a rule asks of the normal form that it works for: atoms, signs, and a place to note its identity."""

    used: set[str]

    def call(self, name: str, *arguments: Any) -> Any:
        """Make an atom of a pointwise function."""

    def scaled(self, z: Any) -> tuple[Any, Any]:
        """Split a sum into the number before its first term and the rest."""

    def flipped(self, z: Any) -> tuple[Any, bool]:
        """Choose one of z and −z, always the same."""


def _softplus(form: Form, z: Any) -> Any:
    if z.is_number:
        return sympy.log(1 + sympy.exp(z))
    core, negative = form.flipped(z)
    atom = form.call("softplus", core)
    return atom - core if negative else atom


def _log_sigmoid(form: Form, z: Any) -> Any:
    return -_softplus(form, expanded(-z))


def _sigmoid(form: Form, z: Any) -> Any:
    if z.is_number:
        return 1 / (1 + sympy.exp(-z))
    core, negative = form.flipped(z)
    atom = form.call("σ", core)
    return 1 - atom if negative else atom


def _exp(form: Form, z: Any) -> Any:
    factors = []
    for term in terms_of(z):
        number, rest = term.as_coeff_Mul()
        factors.append(sympy.exp(number) if rest == 1 else form.call("exp", rest) ** number)
    if len(factors) > 1:
        form.used.add(EXP)
    return sympy.Mul(*factors)


def _relu(form: Form, z: Any) -> Any:
    if z.is_number:
        return sympy.Max(0, z)
    scale, core = form.scaled(z)
    atom = form.call("max0", core)
    if scale.is_negative:
        form.used.add(N1)
        return -scale * (atom - core)
    return scale * atom


def _abs(form: Form, z: Any) -> Any:
    return 2 * _relu(form, z) - z


def _tanh(form: Form, z: Any) -> Any:
    core, negative = form.flipped(z)
    return -form.call("tanh", core) if negative else form.call("tanh", core)


def _step(form: Form, z: Any) -> Any:
    scale, core = form.scaled(z) if z != 0 else (1, z)
    return form.call("step", expanded(-core) if sympy.sympify(scale).is_negative else core)


def _minimum(form: Form, x: Any, y: Any) -> Any:
    return x if x == y else form.call("min", *sorted((x, y), key=str))


def _at_most(form: Form, x: Any, y: Any) -> Any:
    if x == y:
        return sympy.Integer(1)
    return sympy.Integer(int(bool(x <= y))) if x.is_number and y.is_number else form.call("at_most", x, y)


def _clip(form: Form, x: Any, low: Any, high: Any) -> Any:
    known = x.is_number and low.is_number and high.is_number
    return sympy.Min(sympy.Max(x, low), high) if known else form.call("clip", x, low, high)


def _log(form: Form, z: Any) -> Any:
    return sympy.log(z) if z.is_number and z.is_positive else form.call("log", z)


RULES: dict[str, Callable[..., Any]] = {
    "softplus": _softplus,
    "log_sigmoid": _log_sigmoid,
    "sigmoid": _sigmoid,
    "exp": _exp,
    "expm1": lambda form, z: _exp(form, z) - 1,
    "relu": _relu,
    "abs": _abs,
    "tanh": _tanh,
    "step": _step,
    "min": _minimum,
    "at_most": _at_most,
    "clip": _clip,
    "log": _log,
    "log_odds": lambda form, z: z - form.call("log1mexp", z),
}

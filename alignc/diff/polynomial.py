"""Polynomials over atoms: what the normal forms are made of."""

from __future__ import annotations

from typing import Any

import sympy

from alignc.diff.atoms import exact

__all__ = ["MOST_TERMS", "TooLargeError", "expanded", "fraction", "rational", "terms_of"]

MOST_TERMS = 1500


class TooLargeError(Exception):
    """The normal form has more terms than are worth waiting for."""


def expanded(expression: Any) -> Any:
    """Multiply out, and nothing else. Raises TooLargeError."""
    done = sympy.sympify(expression).expand(
        power_base=False, power_exp=False, log=False, basic=False, mul=True, multinomial=True
    )
    if len(sympy.Add.make_args(done)) > MOST_TERMS:
        raise TooLargeError
    return done


def terms_of(expression: Any) -> list[Any]:
    """List the terms of a sum."""
    return [] if expression == 0 else list(sympy.Add.make_args(expression))


def rational(value: float) -> Any:
    """Read a float as the number that was meant."""
    return fraction(exact(value))


def fraction(value: Any) -> Any:
    """Make a number of the algebra."""
    return sympy.Rational(value.numerator, value.denominator)

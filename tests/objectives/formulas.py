"""Random formulas: those that papers use, and trees of operators and functions."""

from __future__ import annotations

import random

from alignc.lower.formulas import ALLOWED

__all__ = ["ESTIMATORS", "LINKS", "TRANSFORMS", "formula"]

LINKS = (
    "softplus(-z)", "z**2", "relu(1-z)", "exp(-z)", "1-sigmoid(z)", "(z-1)**2/2", "log(1+exp(-z))", "-z",
    "softplus(-z)+relu(-z-30)", "relu(1-z)**2", "-log_sigmoid(z)+0.1*z", "log(1+(z-2)**2)", "abs(z-1)",
    "tanh(-z)", "exp(-z)-1+z", "sqrt(1+z**2)-z", "softplus(z)", "0.5*softplus(-z)+0.5*exp(-z)", "1", "z*0",
)  # fmt: skip
ESTIMATORS = (
    "u", "u**2/2", "exp(-u)-1+u", "abs(u)", "u+expm1(-u)", "u*exp(u)", "exp(u)-1-u", "(exp(u)-1)**2", "relu(u)",
    "sqrt(1+u**2)-1", "0.5*u**2+0.1*abs(u)", "-log_sigmoid(u)", "log(1+u**2)", "u**4", "u**3", "tanh(u)**2",
    "relu(1-u)", "((1+u)**64)**64", "abs((relu(1-u))**64)", "(1+u+u*u)**-64", "1",
)  # fmt: skip
TRANSFORMS = ("x", "(1-exp(-x/2))*2", "2*x+1", "x-x**2", "tanh(x)", "log_sigmoid(x)", "-x", "sqrt(1+x**2)")
ARITHMETIC = ("+", "-", "*", "/")


def formula(rng: random.Random, name: str, known: tuple[str, ...]) -> str:
    """Draw a formula over one name: mostly a known one, else a tree of up to four levels."""
    return rng.choice(known) if rng.random() < 0.6 else _tree(rng, name, rng.randint(1, 4))


def _tree(rng: random.Random, name: str, depth: int) -> str:
    if depth == 0 or rng.random() < 0.1:
        return name if rng.random() < 0.65 else rng.choice(("1", "2", "0.5", "0.1", "3", "1e-3", "30"))
    inner = _tree(rng, name, depth - 1)
    match rng.randrange(4):
        case 0:
            return f"{rng.choice(sorted(ALLOWED))}({inner})"
        case 1:
            return f"({inner})**{rng.choice((2, 2, 2, 3, 4, -1, -2, 0, 64))}"
        case 2:
            return f"-({inner})"
        case _:
            return f"({inner}){rng.choice(ARITHMETIC)}({_tree(rng, name, depth - 1)})"

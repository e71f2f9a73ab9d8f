"""Find where an expected gradient vanishes, or that it nowhere does at finite log-probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from alignc.verify.toy import Array

__all__ = ["Fixed", "fixed_point", "flow"]

FAR = 25.0
"""Nats between logits beyond which a response counts as dropped."""

STALLED = 25
"""Steps in a row that shorten the gradient by less than a thousandth, as at the kink of a hinge."""


@dataclass(frozen=True)
class Fixed:
    """Where the search ended: whether it is a finite minimum, and how large the gradient is there."""

    theta: Array
    found: bool
    residual: float


def fixed_point(
    gradient: Callable[[Array], Array], start: Array, size: int, steps: int = 80, far: float = FAR
) -> Fixed:
    """Descend by Newton's method, damped so that every step shortens the gradient."""
    theta, damping = start.copy(), 1e-3
    g, slow = gradient(theta), 0
    for _ in range(steps):
        if np.linalg.norm(g) < 1e-13 or np.ptp(theta[:size]) > far:
            break
        before = float(np.linalg.norm(g))
        theta, g, damping = _step(gradient, theta, g, jacobian(gradient, theta), damping, max(3.0, far / 20))
        slow = slow + 1 if np.linalg.norm(g) > 0.999 * before else 0
        if slow > STALLED:
            break
        if damping > 1e12:
            break
    residual = float(np.abs(g).max())
    return Fixed(
        theta, bool(np.ptp(theta[:size]) < far and residual < 1e-9 and stable(gradient, theta)), residual
    )


Stepped = tuple[Array, Array, float]


def _step(
    gradient: Callable[[Array], Array], theta: Array, g: Array, h: Array, damping: float, longest: float
) -> Stepped:
    values, vectors = np.linalg.eigh((h + h.T) / 2)
    scale = max(1e-12, float(np.abs(values).max()))
    while damping < 1e13:
        step = -vectors @ ((vectors.T @ g) / (np.abs(values) + damping * scale))
        step *= min(1.0, longest / max(1e-300, float(np.abs(step).max())))
        moved = gradient(theta + step)
        if np.linalg.norm(moved) < np.linalg.norm(g) * (1 - 1e-12):
            return theta + step, moved, max(damping / 10, 1e-12)
        damping *= 10
    return theta, g, damping


def jacobian(gradient: Callable[[Array], Array], theta: Array, step: float = 1e-5) -> Array:
    """Differentiate a gradient numerically."""
    columns = []
    for i in range(len(theta)):
        move = np.zeros_like(theta)
        move[i] = step
        columns.append((gradient(theta + move) - gradient(theta - move)) / (2 * step))
    found: Array = np.array(columns).T
    return found


def stable(gradient: Callable[[Array], Array], theta: Array) -> bool:
    """Tell whether the gradient points back from every side, up to directions in which nothing changes."""
    h = jacobian(gradient, theta)
    values = np.linalg.eigvalsh((h + h.T) / 2)
    return bool(values.min() > -1e-6 * max(1.0, float(values.max())))


def flow(gradient: Callable[[Array], Array], start: Array, *, rate: float, steps: int) -> list[Array]:
    """Follow the gradient downhill, and list the places passed."""
    path = [start]
    for _ in range(steps):
        g = gradient(path[-1])
        if not np.all(np.isfinite(g)):
            break
        path.append(path[-1] - rate * g)
    return path

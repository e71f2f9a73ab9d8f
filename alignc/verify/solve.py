"""Find where an expected gradient vanishes, or that it leads away without end, or say that the search did not end.

Directions in which nothing changes are left out: a constant added to all logits, parameters that nothing reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from alignc.verify.toy import Array

__all__ = ["Ended", "Field", "Outcome", "flow", "jacobian", "polished", "search", "stable"]

Gradient = Callable[[Array], Array]
FAR = 1000.0
"""Nats between logits beyond which a search gives up."""
FLAT = 1e-8
"""The part of the steepest direction, each parameter in its own scale, below which a direction counts as flat."""
DROPPED = 8.0
"""Nats below the likeliest response at which one has hardly any probability."""
RAY = (0.0, 0.3, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Nats along a ray at which the gradient is looked at."""
UNDERFLOW = 1e-60
"""A push that is smaller, and falling, may be 0 a little further on."""
NEAR = 1e-3
"""Nats of the moves that a rest must come back from."""
SLOW = 4
"""Steps in a row without a gain that counts, after which a descent gives up."""
RESTED = 1e-7
"""Nats of Newton's step below which the search has ended."""


@dataclass(frozen=True)
class Field:
    """An expected gradient over `size` logits and further parameters.

    `value` is the loss at a place while what no gradient reaches is held at another. `potential`: nothing is held.
    """

    gradient: Gradient
    size: int
    value: Callable[[Array, Array], float] | None = None
    potential: bool = False


class Outcome(StrEnum):
    """How a search ended."""

    RESTS = "rests"
    LEAVES = "leaves"
    """The gradient leads on along a ray, to where a response has no probability."""
    STALLED = "not converged"


@dataclass(frozen=True)
class Ended:
    """Where a search ended, how, and the largest entry of the gradient there."""

    theta: Array
    outcome: Outcome
    residual: float

    @property
    def found(self) -> bool:
        """Whether a finite minimum was found."""
        return self.outcome is Outcome.RESTS


def search(field: Field, start: Array, *, far: float = FAR, homotopy: bool = True) -> Ended:
    """Descend by damped Newton steps, follow the gradient to 0 along a homotopy where that stalls, and polish."""
    with np.errstate(all="ignore"):
        ended = _ended(field, start, _polish(field, _descended(field, start, far)))
        if ended.outcome is not Outcome.STALLED or not homotopy:
            return ended
        other = _ended(field, start, _polish(field, _homotopy(field, start, far)))
        return ended if other.outcome is Outcome.STALLED and ended.residual < other.residual else other


def polished(field: Field, start: Array) -> Ended:
    """Take Newton's steps from a place near a rest."""
    with np.errstate(all="ignore"):
        return _ended(field, start, _polish(field, start))


def _ended(field: Field, start: Array, theta: Array) -> Ended:
    g = field.gradient(theta)
    residual = float(np.abs(g).max())
    if not np.isfinite(residual):
        return Ended(theta, Outcome.STALLED, np.inf)
    if _leads_on(field, start, theta):
        return Ended(theta, Outcome.LEAVES, residual)
    rests = _at_rest(field, theta, g) and _comes_back(field, start, theta)
    return Ended(theta, Outcome.RESTS if rests else Outcome.STALLED, residual)


def _at_rest(field: Field, theta: Array, g: Array) -> bool:
    if not np.any(g) and not np.any(jacobian(field.gradient, theta)):
        return _flat_around(field, theta)
    step = newton_step(field, theta, g)
    reach = RESTED * (1 + float(np.ptp(theta[: field.size])))
    return bool(np.all(np.isfinite(step)) and np.abs(step).max() < reach and stable(field, theta))


def _comes_back(field: Field, start: Array, theta: Array) -> bool:
    """Tell whether the gradient points back on both sides: in a tail it vanishes too, and points on."""
    random = np.random.default_rng(1)
    moves = [theta - start, *random.normal(size=(3, len(theta)))]
    pulls = []
    for way in moves:
        move = _centred(field, way)
        move *= NEAR / max(1e-300, float(np.abs(move).max()))
        pulls.append([side * float(field.gradient(theta + side * move) @ move) for side in (1, -1)])
    top = max(abs(p) for pair in pulls for p in pair)
    felt = [p for p in pulls if max(map(abs, p)) > 1e-9 * top]
    return all(min(p) > -1e-3 * max(p) for p in felt)


def _flat_around(field: Field, theta: Array) -> bool:
    """Tell whether nothing moves for a nat around: a plateau of rests, and not an underflow."""
    moves = np.random.default_rng(0).normal(size=(4, len(theta)))
    return all(not np.any(field.gradient(theta + m)) for m in moves)


def _edge(field: Field, start: Array, theta: Array) -> Array:
    """Go back from where the gradient is 0 to the last place where it is not."""
    near, zero = start, theta
    for _ in range(60):
        middle = (near + zero) / 2
        near, zero = (middle, zero) if np.any(field.gradient(middle)) else (near, middle)
    return near


def _leads_on(field: Field, start: Array, theta: Array) -> bool:
    """Tell whether the gradient points on along the way that the search took, for a nat and more."""
    way = _centred(field, theta - start)
    length = float(np.ptp(way[: field.size]))
    if length == 0.0:
        return False
    if not np.any(field.gradient(theta)):
        push = float(field.gradient(_edge(field, start, theta)) @ way) / length
        return -UNDERFLOW < push < 0
    return any(_points_on(field, theta, w) for w in (way / length, _dropping(field, theta)))


def _dropping(field: Field, theta: Array) -> Array:
    """Give the way on which the responses that have hardly any probability go on falling.

    It isn't centred: rounding of the others' pushes would hide the small ones.
    """
    found = np.zeros_like(theta)
    found[: field.size] = -1.0 * (theta[: field.size] < theta[: field.size].max() - DROPPED)
    return found


def _points_on(field: Field, theta: Array, way: Array) -> bool:
    """Tell whether the gradient keeps its sign along a ray, until it is too small for a number."""
    pushes = [float(field.gradient(theta + t * way) @ way) for t in RAY]
    seen = [p for p in pushes if p != 0]
    if len(seen) < 3 or any(p >= 0 for p in seen) or not all(map(np.isfinite, pushes)):
        return False
    falling = all(abs(b) <= abs(a) for a, b in pairwise(seen))
    return len(seen) == len(pushes) or (falling and abs(seen[-1]) < UNDERFLOW)


# ---- steps ----------------------------------------------------------------------------------------------------


def _centred(field: Field, move: Array) -> Array:
    """Take the constant of all logits out of a move."""
    found = move.copy()
    found[: field.size] -= found[: field.size].mean()
    return found


def _scaled(field: Field, theta: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Give the Jacobian without the constant of all logits, the scale of each parameter, and which are read."""
    h = jacobian(field.gradient, theta)
    centre = np.eye(len(theta))
    centre[: field.size, : field.size] -= 1 / field.size
    h = centre @ h @ centre
    scale = np.sqrt(np.abs(np.diag(h)))
    read = scale > 0
    steady: Array = np.where(read, scale, 1.0)
    return h, steady, read


def newton_step(field: Field, theta: Array, g: Array) -> Array:
    """Solve for the step to the zero of the gradient, along the directions that are not flat."""
    h, scale, read = _scaled(field, theta)
    if not np.all(np.isfinite(h)) or not np.any(read):
        return np.full_like(theta, np.nan)
    step, *_ = np.linalg.lstsq(
        (h / np.outer(scale, scale))[np.ix_(read, read)], (-g / scale)[read], rcond=FLAT
    )
    found = np.zeros_like(theta)
    found[read] = step / scale[read]
    return _centred(field, found)


def stable(field: Field, theta: Array) -> bool:
    """Tell whether the gradient points back from every side, up to directions in which nothing changes."""
    h, scale, read = _scaled(field, theta)
    values = np.linalg.eigvalsh(((h + h.T) / 2 / np.outer(scale, scale))[np.ix_(read, read)])
    return bool(values.min() > -1e-5 * max(1.0, float(values.max())))


def _descended(field: Field, start: Array, far: float, steps: int = 120) -> Array:
    """Take damped Newton steps: each lowers the loss, or shortens the gradient where there is no loss."""
    theta, damping, longest, slow = start, 1e-3, max(3.0, far / 20), 0
    gained = 0.0
    for _ in range(steps):
        g = field.gradient(theta)
        if not np.all(np.isfinite(g)) or np.ptp(theta[: field.size]) > far:
            break
        after, damping = _step(field, theta, g, damping, longest)
        if after is theta or np.abs(after - theta).max() < 1e-9:
            break
        gain = _merit(field, theta, theta) - _merit(field, after, theta)
        gained += gain
        slow = slow + 1 if gain < 1e-10 * gained else 0
        theta = after
        if slow == SLOW:
            break
    return theta


def _step(field: Field, theta: Array, g: Array, damping: float, longest: float) -> tuple[Array, float]:
    h, scale, read = _scaled(field, theta)
    if not np.all(np.isfinite(h)):
        return theta, damping
    values, vectors = np.linalg.eigh((h + h.T) / 2 / np.outer(scale, scale))
    top = max(1e-300, float(np.abs(values).max()))
    before = _merit(field, theta, theta)
    while damping < 1e9:
        step = -(vectors @ ((vectors.T @ (g / scale)) / (np.abs(values) + damping * top))) / scale
        step = _centred(field, np.where(read, step, 0.0))
        step *= min(1.0, longest / max(1e-300, float(np.abs(step).max())))
        if _merit(field, theta + step, theta) < before:
            return theta + step, max(damping / 10, 1e-9)
        damping *= 10
    return theta, damping


def _merit(field: Field, theta: Array, held: Array) -> float:
    if field.value is not None:
        return field.value(theta, held)
    return float(np.linalg.norm(field.gradient(theta)))


def _polish(field: Field, theta: Array, steps: int = 12) -> Array:
    """Take Newton's steps while they shorten."""
    last = np.inf
    for _ in range(steps):
        step = newton_step(field, theta, field.gradient(theta))
        size = float(np.abs(step).max())
        if not size < min(last, 3.0):
            break
        theta, last = theta + step, size
        if size < 1e-13 * (1 + float(np.abs(theta).max())):
            break
    return theta


def _homotopy(field: Field, start: Array, far: float) -> Array:
    """Follow the zeros of g(θ) − s·g(start), from s = 1 at the start to s = 0, with steps as long as Newton allows."""
    first, theta, s, move = field.gradient(start), start, 1.0, 0.1
    for _ in range(200):
        goal = max(0.0, s - move)
        after = _corrected(field, theta, goal * first)
        if after is None or np.ptp(after[: field.size]) > 2 * far:
            move /= 4
            if move < 1e-7:
                break
            continue
        theta, s, move = after, goal, min(0.5, 1.7 * move)
        if s == 0.0:
            break
    return theta


def _corrected(field: Field, theta: Array, offset: Array) -> Array | None:
    """Take a few of Newton's steps to g(θ) = offset; None where they do not shrink at once."""
    last = np.inf
    for _ in range(8):
        step = newton_step(field, theta, field.gradient(theta) - offset)
        size = float(np.abs(step).max())
        if not size < min(last, 1.0):
            return None
        theta, last = theta + step, size
        if size < 1e-6:
            return theta
    return None


def jacobian(gradient: Gradient, theta: Array, step: float = 1e-5) -> Array:
    """Differentiate a gradient numerically."""
    columns = []
    for i in range(len(theta)):
        move = np.zeros_like(theta)
        move[i] = step
        columns.append((gradient(theta + move) - gradient(theta - move)) / (2 * step))
    found: Array = np.array(columns).T
    return found


def flow(gradient: Gradient, start: Array, *, rate: float, steps: int) -> list[Array]:
    """Follow the gradient downhill, and list the places passed."""
    path = [start]
    for _ in range(steps):
        g = gradient(path[-1])
        if not np.all(np.isfinite(g)):
            break
        path.append(path[-1] - rate * g)
    return path

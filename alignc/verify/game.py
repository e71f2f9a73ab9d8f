"""Preference games small enough to solve: self-play's two updates in closed form, and the distance from equilibrium.

Everything here is written from the definitions, and reads nothing of a compiled loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from alignc.verify.toy import Array, log_softmax

__all__ = [
    "CYCLE",
    "GAMES",
    "RANDOM",
    "Game",
    "Update",
    "duality_gap",
    "multiplicative",
    "omega",
    "plays",
    "saturated",
    "tilt",
    "tilted",
]

Update = Callable[[Array, Array], Array]
"""Log-probabilities and η·(P − ½), to the next log-probabilities."""


@dataclass(frozen=True)
class Game:
    """Which response beats which, P(row ≻ column), and the log-probabilities that play starts from."""

    name: str
    prefers: Array
    start: Array

    @property
    def size(self) -> int:
        """The number of responses."""
        return len(self.start)

    def ahead(self, logps: Array) -> Array:
        """Compute by how much each response's probability to beat a sample of a policy exceeds ½."""
        found: Array = (self.prefers - 0.5) @ np.exp(logps)
        return found


def _cycle() -> Game:
    wins = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 2
    return Game("rock-paper-scissors", 0.5 + wins, log_softmax(np.array([0.9, 0.2, -0.5])))


def _random(seed: int = 0, size: int = 5) -> Game:
    draws = np.random.default_rng(seed).uniform(-0.5, 0.5, (size, size))
    return Game("random game of 5", 0.5 + (draws - draws.T) / 2, np.full(size, -np.log(size)))


CYCLE, RANDOM = _cycle(), _random()
GAMES = (CYCLE, RANDOM)


def duality_gap(game: Game, policy: Array) -> float:
    """Compute max_y P(y ≻ π) − min_y P(π ≻ y): 0 at the equilibrium, and nowhere else."""
    rates = game.prefers @ policy
    return float(2 * rates.max() - 1)


def multiplicative(logps: Array, scores: Array) -> Array:
    """Update by multiplicative weights: the exact log-partition."""
    return log_softmax(logps + scores)


def tilted(shift: float = 0.0) -> Update:
    """Update with a constant in the place of the log-partition: ½, or another (η·(½ − b) is the `shift`)."""
    return lambda logps, scores: log_softmax(logps + tilt(logps, scores + shift)[0])


def tilt(logps: Array, target: Array) -> tuple[Array, float]:
    """Minimise Σ π_t·(u − t)² over policies π_t·e^u: solve u + κ·e^u = t. Return u and log κ.

    Needs Σ π_t·e^t ≥ 1, as with the constant ½. The mass that rises and the mass that falls are compared in logs, so
    that responses which are all but dropped count; Newton in log κ, kept inside a bracket.
    """
    law, goal = logps.tolist(), target.tolist()
    low, high = (
        -2 * float(np.ptp(target) + np.ptp(logps)) - 60.0,
        math.log(float(np.ptp(target)) + 10.0) + 60.0,
    )
    at = 0.0
    if not _surplus(law, goal, low)[0] > 0:
        return target, -math.inf
    for _ in range(200):
        more, slope = _surplus(law, goal, at)
        low, high = (at, high) if more > 0 else (low, at)
        after = at - more / slope if slope < 0 else math.nan
        after = after if low < after < high else (low + high) / 2
        if abs(more) < 1e-14 or abs(after - at) < 1e-14 * max(1.0, abs(at)):
            break
        at = after
    return np.array([_solved(t, at)[0] for t in goal]), at


def _solved(target: float, log_kappa: float) -> tuple[float, float]:
    """Solve u + κ·e^u = t at a κ, in the form that loses no digits. Return also log(κ·e^u)."""
    v = omega(target + log_kappa)
    return (target - math.exp(v) if v < 0 else v - log_kappa), v


def _surplus(logps: list[float], target: list[float], log_kappa: float) -> tuple[float, float]:
    """Compare, in logs, the mass that rises at a κ with the mass that falls; and differentiate that in log κ."""
    moved: dict[bool, list[float]] = {True: [], False: []}
    change: dict[bool, list[float]] = {True: [], False: []}
    for l, t in zip(logps, target, strict=True):
        u, v = _solved(t, log_kappa)
        if u != 0:
            moved[u > 0].append(l + max(u, 0.0) + math.log(-math.expm1(-abs(u))))
            change[u > 0].append(l + u + v - math.log1p(math.exp(v)))
    if not moved[True] or not moved[False]:
        return (math.inf if moved[True] else -math.inf), 0.0
    rises, falls = _log_sum(moved[True]), _log_sum(moved[False])
    slope = -math.exp(_log_sum(change[True]) - rises) - math.exp(_log_sum(change[False]) - falls)
    return rises - falls, slope


def _log_sum(values: list[float]) -> float:
    top = max(values)
    return top + math.log(math.fsum(math.exp(v - top) for v in values))


def omega(y: float) -> float:
    """Solve v + e^v = y, by Newton from above: v = log W(e^y)."""
    v = math.log(y) if y > 1 else y
    for _ in range(20):
        power = math.exp(v)
        step = (v + power - y) / (1 + power)
        v -= step
        if abs(step) <= 1e-16 * abs(v):
            break
    return v


def saturated(logps: Array, ahead: Array) -> Array:
    """Give the update that the constant ½ tends to as η grows: π_t·max(0, P − ½), normalised."""
    mass = np.exp(logps) * np.maximum(0.0, ahead)
    found: Array = mass / mass.sum()
    return found


def plays(game: Game, update: Update, eta: float, rounds: int) -> list[Array]:
    """Play against oneself, and list the policies, the first included."""
    logps, found = game.start, []
    for _ in range(rounds):
        found.append(np.exp(logps))
        logps = update(logps, eta * game.ahead(logps))
    return found

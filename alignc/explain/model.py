"""An explanation as data: what every printer of it shows."""

from __future__ import annotations

from dataclasses import dataclass

from alignc.lower.rollout_metrics import Logged

__all__ = ["Coefficient", "Explanation", "Given", "Where"]


@dataclass(frozen=True)
class Where:
    """A symbol of the formula, what it stands for, and a note on its unit."""

    symbol: str
    definition: str
    note: str


@dataclass(frozen=True)
class Given:
    """A value in the loss, and where it comes from."""

    symbol: str
    field: str
    value: float | str
    unit: str
    origin: str


@dataclass(frozen=True)
class Coefficient:
    """∂L/∂log π of one response (of a reward model, ∂L/∂r): derived, at the start, and in words."""

    response: str
    of: str
    formula: str
    at_start: float | None
    words: str


@dataclass(frozen=True)
class Explanation:
    """Everything that `explain` says."""

    name: str
    title: str
    paper: str | None
    formula: str
    where: tuple[Where, ...]
    values: tuple[Given, ...]
    terms: tuple[str, ...]
    gradient: tuple[Coefficient, ...]
    gauge: str
    roles: tuple[tuple[str, str], ...]
    data: str
    scaling: str
    step0: tuple[tuple[str, float], ...]
    healthy: tuple[tuple[str, str], ...]
    metrics: tuple[str, ...]
    deviations: tuple[str, ...]
    when: str
    kl: tuple[str, ...] = ()
    """What each KL term really descends, and the optimum that follows."""
    optimum: tuple[str, ...] = ()
    rollout: tuple[str, ...] = ()
    """How the policy's own responses are made and judged, where it makes them."""
    logged: tuple[Logged, ...] = ()
    """What is logged of rollouts beside the loss's own metrics."""

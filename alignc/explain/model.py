"""An explanation as data, which each printer shows in its own format."""

from __future__ import annotations

from dataclasses import dataclass

from alignc.lower.rollout_metrics import Logged

__all__ = ["Coefficient", "Explanation", "Given", "Where"]


@dataclass(frozen=True)
class Where:
    """A symbol of the formula, its definition, and a note on its meaning and unit."""

    symbol: str
    definition: str
    note: str


@dataclass(frozen=True)
class Given:
    """A value in the loss, and its origin."""

    symbol: str
    field: str
    value: float | str
    unit: str
    origin: str


@dataclass(frozen=True)
class Coefficient:
    """∂L/∂log π of one response (∂L/∂r for a reward model): as a formula, at the start, and in words."""

    response: str
    of: str
    formula: str
    at_start: float | None
    words: str


@dataclass(frozen=True)
class Explanation:
    """The complete result of `explain`."""

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
    """The divergence that each KL term descends, and its optimum."""
    optimum: tuple[str, ...] = ()
    rollout: tuple[str, ...] = ()
    """The sampling and scoring of the policy's responses; empty for given rows."""
    losses: tuple[str, ...] = ()
    """The loss of each term, if there are several: L_policy = …"""
    generation: tuple[str, ...] = ()
    """The end of responses and the unused settings, as the folder of the policy has them; empty without a folder."""
    logged: tuple[Logged, ...] = ()
    """The metrics of rollouts, in addition to the metrics of the loss."""

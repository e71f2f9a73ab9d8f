"""What a loss needs of the job that it is trained by: the section `plan` of `job.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .failure import Failure
from .models import anchors
from .outputs import OUTPUTS
from .plain import build, optional, written
from .responses import COMPLETIONS

__all__ = [
    "STATISTICS",
    "AdaptiveKL",
    "Advantage",
    "Baseline",
    "LossNeeds",
    "WinRateBaseline",
    "advantage_from",
    "baseline_from",
    "needs_from",
]

STATISTICS = {"matched", "mean", "running"}
OF_ONE_LOSS = ("advantage", "token_columns", "ratios", "baseline")
"""Keys that the needs of several sources do not have: they stand in the needs of each."""


@dataclass(frozen=True)
class Baseline:
    """What is taken off a return: its kind, and the numbers that this kind has (`std`, `ddof`, `value` and so on)."""

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def as_plain(self) -> dict[str, Any]:
        """Return the kind and the settings as keys side by side."""
        return {"kind": self.kind, **self.settings}


@dataclass(frozen=True)
class AdaptiveKL:
    """A KL coefficient: ``beta`` at first, then led to a ``target`` (nat a response) over ``horizon`` responses."""

    target: float
    horizon: float
    beta: float


@dataclass(frozen=True)
class Advantage:
    """How a rollout computes the advantage of a token or a response.

    ``reward`` names the score that is paid, ``penalty`` tells whether the KL is taken off it, for each ``token`` or
    ``sequence`` as ``granularity`` has it. ``discount`` is γ, and ``gae_lambda`` is λ of GAE.
    """

    reward: str
    penalty: bool
    granularity: str
    baseline: Baseline
    discount: float
    gae_lambda: float
    whiten: bool
    adaptive: AdaptiveKL | None = None


@dataclass(frozen=True)
class WinRateBaseline:
    """What a win rate is compared with: the rollout's mean, or the log-partition over ``samples`` responses."""

    kind: str
    eta: float = 1.0
    samples: int | None = None


@dataclass(frozen=True)
class LossNeeds:
    """What the loss needs: responses in order, anchors, columns, totals, and its values at step 0.

    A rollout also needs to know how its ``advantage`` and other ``token_columns`` come about, which ``baseline`` is
    estimated, and which metrics are ``ratios``: 1 at a rollout's first step. ``others`` are anchors that are models of
    their own: a folder or hub id by the anchor's name. Of several sources, ``parts`` are the needs of each.
    """

    responses: list[str]
    anchors: list[str]
    columns: list[str]
    outputs: list[str]
    statistics: Mapping[str, str]
    statistic_responses: list[str]
    loss_responses: list[str]
    convert: str | None
    totals: list[str]
    coupled: bool
    metrics: list[str]
    step0: Mapping[str, float]
    advantage: Advantage | None = None
    token_columns: list[str] = field(default_factory=list)
    ratios: list[str] = field(default_factory=list)
    baseline: WinRateBaseline | None = None
    others: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[LossNeeds, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what this runtime does not compute, rather than leave it out."""
        asked = [*(set(self.outputs) - OUTPUTS.keys()), *(set(self.statistics.values()) - STATISTICS)]
        asked += set(self.anchors) - set(anchors()) - self.others.keys()
        if asked:
            raise Failure(
                "E806", f"this runtime does not compute what the objective needs: {', '.join(asked)}"
            )

    @property
    def grouped(self) -> bool:
        """Whether a row is a group of responses to one prompt, of any number."""
        return list(self.responses) == [COMPLETIONS]

    def as_plain(self) -> dict[str, Any]:
        """Return the keys that are written: those of one loss, or those of several sources."""
        gone = OF_ONE_LOSS if self.parts else ("parts",)
        return {name: value for name, value in written(self).items() if name not in gone}


def needs_from(data: Mapping[str, Any]) -> LossNeeds:
    """Build the needs of a loss. Failure E806 for unknown or missing keys."""
    nested = {
        "advantage": advantage_from(data.get("advantage")),
        "baseline": optional(WinRateBaseline, data.get("baseline"), "plan.baseline"),
        "parts": tuple(needs_from(part) for part in data.get("parts") or ()),
    }
    return build(LossNeeds, {**data, **nested}, "plan")


def advantage_from(data: Mapping[str, Any] | None) -> Advantage | None:
    """Build the description of an advantage, or nothing where the loss has none."""
    if data is None:
        return None
    nested = {
        "baseline": baseline_from(data.get("baseline") or {}),
        "adaptive": optional(AdaptiveKL, data.get("adaptive"), "plan.advantage.adaptive"),
    }
    return build(Advantage, {**data, **nested}, "plan.advantage")


def baseline_from(data: Mapping[str, Any]) -> Baseline:
    """Build a baseline from its kind and what stands beside it."""
    kind = {name: value for name, value in data.items() if name == "kind"}
    settings = {name: value for name, value in data.items() if name != "kind"}
    return build(Baseline, {**kind, "settings": settings}, "plan.advantage.baseline")

"""The types of claims: each says one thing about an objective, and when it holds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol

from alignc.contract.needs import LossNeeds
from alignc.graph.nodes import Node
from alignc.load.load import Loaded
from alignc.lower.loss import Loss

__all__ = [
    "About",
    "Claim",
    "Outcome",
    "Push",
    "Section",
    "Shift",
    "ShiftWay",
    "Slope",
    "SlopeAtStart",
    "StepZero",
    "Subject",
    "Verdict",
    "Way",
    "When",
]


class Subject(Protocol):
    """The objective that claims are about: a spec, its loss, and what the loss needs."""

    @property
    def spec(self) -> Loaded:
        """The loaded spec."""

    @property
    def loss(self) -> Loss:
        """The lowered loss."""

    @property
    def needs(self) -> LossNeeds:
        """What the loss needs."""


@dataclass(frozen=True)
class About:
    """The objective that claims are about, before it has an explanation."""

    spec: Loaded
    loss: Loss
    needs: LossNeeds


class Section(StrEnum):
    """The section of an explanation that a claim stands in."""

    TITLE = "title"
    ROLLOUT = "rollout"
    GRADIENT = "gradient"
    KL = "kl"
    OPTIMUM = "optimum"
    MODELS = "models"
    DATA = "data"
    SCALING = "scaling"
    STEP_ZERO = "step 0"
    HEALTHY = "healthy"
    DEVIATIONS = "deviations"
    WHEN = "use it when"


class When(StrEnum):
    """The updates at which a claim holds."""

    ALWAYS = "always"
    START = "start"
    """Before the first step, where the policy is the reference."""
    FIRST = "first"
    """At the first update of each rollout, where the samples are the policy's own."""
    OWN = "own"
    """Wherever the responses are samples of the policy itself, which the data are not."""


@dataclass(frozen=True)
class Claim:
    """A statement about an objective."""

    section: ClassVar[Section]


class Outcome(StrEnum):
    """The result of a check."""

    HOLDS = "holds"
    REFUTED = "refuted"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Verdict:
    """The result of a check, with the numbers that it rests on; `gap` is the largest difference found."""

    outcome: Outcome
    evidence: str = ""
    gap: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the claim holds."""
        return self.outcome is Outcome.HOLDS

    @property
    def refuted(self) -> bool:
        """Whether a number contradicts the claim."""
        return self.outcome is Outcome.REFUTED


# ---- the gradient ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slope(Claim):
    """The derivative by a trained output, as a formula.

    `by_row`: of the loss of one row, which the batch averages; otherwise of the loss of the whole batch.
    """

    section = Section.GRADIENT
    leaf: Node
    response: str
    value: Node
    by_row: bool = True


class Way(StrEnum):
    """How a descent step moves a response."""

    RAISES = "raises"
    LOWERS = "lowers"
    KEEPS = "keeps"
    BY_LABEL = "by_label"
    """Raises a response whose label is true, and lowers the others."""
    AGAINST_LABEL = "against_label"
    """Lowers a response whose label is true, and raises the others."""
    BY_ADVANTAGE = "by_advantage"
    """Raises a response with a positive advantage, and lowers one with a negative advantage."""
    EITHER = "either"
    """Raises it in some rows, and lowers it in others."""
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Push(Claim):
    """The way in which a descent step moves the log-probability, or the score, of a response."""

    section = Section.GRADIENT
    leaf: Node
    response: str
    way: Way
    when: When = When.ALWAYS


@dataclass(frozen=True)
class SlopeAtStart(Claim):
    """The derivative before the first step, where it is one number for all data."""

    section = Section.GRADIENT
    leaf: Node
    response: str
    value: float
    when: When = When.START


class ShiftWay(StrEnum):
    """What the loss does while both log-probabilities of a pair fall by the same amount."""

    SAME = "same"
    SAME_MEANS = "same_means"
    """It stays if both means per token fall by the same amount."""
    RISES = "rises"
    FALLS = "falls"
    DEPENDS = "depends"
    """It rises in some rows, and falls in others."""
    BY_TOKEN = "by_token"
    """The coefficients differ between the tokens of a response."""
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Shift(Claim):
    """What the loss of a pair does while both log-probabilities fall together."""

    section = Section.GRADIENT
    way: ShiftWay
    tried: int = 0
    """The rows that were tried, where the form alone does not decide."""


# ---- before the first step ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StepZero(Claim):
    """The value of a metric before the first step, for all data."""

    section = Section.STEP_ZERO
    metric: str
    value: float
    when: When = When.START

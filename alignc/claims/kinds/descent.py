"""Claims about what an expected gradient descends or ascends, and where this ends."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from alignc.claims.model import Claim, Section, When
from alignc.graph.nodes import Node
from alignc.theory.kinds import Kind

__all__ = [
    "Ascends",
    "Counted",
    "Descends",
    "Form",
    "LaterAscends",
    "LaterDiffers",
    "Lengths",
    "NoRest",
    "Pull",
    "RestsAt",
    "RestsAtAnchor",
    "Undecided",
]


class Counted(StrEnum):
    """How a divergence of responses counts their tokens."""

    WHOLE = "whole"
    STEPWISE = "stepwise"
    """Each token is pulled given its prefix, and is not charged for later prefixes."""
    PAID = "paid"
    """The estimates of the tokens are added up, and each token is charged for the later ones."""
    LATER = "later"
    """Each token is charged for the divergence of later tokens, and not for its own."""


class Lengths(StrEnum):
    """The responses that a claim is about, by their number of tokens."""

    ANY = "any"
    EQUAL = "equal"
    """Responses of equal length: otherwise, the length of a response changes its weight."""
    ONE = "one"
    """Responses of one token."""


@dataclass(frozen=True)
class Descends(Claim):
    """In expectation, the KL of a term descends a divergence to its anchor, up to a positive factor.

    `kind` NULL: it has no gradient in expectation. `clamp`: only while no |u| is above it.
    """

    section = Section.KL
    term: str
    estimator: str
    placement: str
    kind: Kind
    divergence: str
    counted: Counted
    when: When
    lengths: Lengths
    clamp: float | None = None
    moving: str = ""
    """The words of an anchor that moves with the policy."""
    many: bool = False
    """Only in the limit of many responses per rollout, in which whitening is one factor."""
    exact_critic: bool = False


@dataclass(frozen=True)
class Pull(Claim):
    """The coefficient on ∇log π: g(u), with u = log π/ref."""

    section = Section.KL
    term: str
    estimator: str
    placement: str
    u: Node
    g: Node


@dataclass(frozen=True)
class RestsAtAnchor(Claim):
    """On given data without weights, the KL of a term has a zero gradient at the anchor, or pushes away from it."""

    section = Section.KL
    term: str
    estimator: str
    rests: bool


@dataclass(frozen=True)
class Ascends(Claim):
    """In expectation, a policy gradient ascends E[R] − β·(a divergence), up to a positive factor.

    `counted` responses are compared with a mean that they are a part of, if `among` is above 0: this scales the reward
    by (among − 1)/among, and `beta` is what remains of the strength relative to it.
    """

    section = Section.ROLLOUT
    term: str
    worth: str
    """`reward` or `win_rate`."""
    beta: float
    factor: float
    """`beta` divided by the β of the spec."""
    kind: Kind | None
    divergence: str
    counted: Counted
    when: When
    lengths: Lengths
    exact_critic: bool = False
    """Only if the critic gives the exact value of each state."""
    among: int = 0
    many: bool = False


@dataclass(frozen=True)
class LaterAscends(Claim):
    """The later updates of a rollout ascend E[R], less β·KL(π‖ref), plus β·KL(π‖old) where the KL was fixed."""

    section = Section.ROLLOUT
    term: str
    beta: float


@dataclass(frozen=True)
class LaterDiffers(Claim):
    """The later updates of a rollout differ from what fresh samples would give."""

    section = Section.ROLLOUT
    term: str
    ratio: bool
    bounded: bool
    by_token: bool


class Form(StrEnum):
    """The form of an optimum, for w = π/ref."""

    GIBBS = "gibbs"
    """w ∝ exp(R/β)."""
    HYPERBOLIC = "hyperbolic"
    """w = β/(β + ν − R)."""
    EQUATION = "equation"
    """g(log w) = (R − ν)/β."""


@dataclass(frozen=True)
class RestsAt(Claim):
    """Ascent on the policy's own samples rests at a policy of this form."""

    section = Section.OPTIMUM
    term: str
    form: Form
    beta: float
    factor: float
    lengths: Lengths
    exact_critic: bool = False
    among: int = 0
    moving: str = ""
    adaptive: bool = False
    many: bool = False


@dataclass(frozen=True)
class NoRest(Claim):
    """The regulariser has no optimum near the reference."""

    section = Section.OPTIMUM
    term: str
    kind: Kind


@dataclass(frozen=True)
class Undecided(Claim):
    """What is not decided, and what is known of it."""

    what: str
    known: tuple[str, ...]
    part: Section

    @property
    def section(self) -> Section:  # type: ignore[override]
        """The section that the open question belongs to."""
        return self.part

"""Claims that restate the spec, and texts that are no claims."""

from __future__ import annotations

from dataclasses import dataclass

from alignc.claims.model import Claim, Section
from alignc.graph.nodes import Node

__all__ = [
    "Bound",
    "Endless",
    "ModelRole",
    "Prose",
    "Recurrence",
    "Scaling",
    "Stated",
    "Turns",
    "Unbounded",
    "Variant",
    "WinRateOptimum",
]


@dataclass(frozen=True)
class Bound:
    """A number or name in a text, and the fields of the spec whose product it is."""

    name: str
    value: float | str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Stated(Claim):
    """A sentence about the spec: each value in it is read from a field."""

    part: Section
    template: str
    bound: tuple[Bound, ...] = ()
    holds_while: tuple[Bound, ...] = ()
    """Fields, and the values with which the sentence is true."""

    @property
    def section(self) -> Section:  # type: ignore[override]
        """The section that the sentence stands in."""
        return self.part


@dataclass(frozen=True)
class Prose(Claim):
    """A text without a check: history, sources, advice. It has no number and no property of the spec."""

    part: Section
    text: str

    @property
    def section(self) -> Section:  # type: ignore[override]
        """The section that the text stands in."""
        return self.part


@dataclass(frozen=True)
class Variant(Claim):
    """The method of a spec: a preset, or a variant of it, with the axes that differ from the preset."""

    section = Section.TITLE
    preset: str
    title: str
    paper: str | None
    axes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Scaling(Claim):
    """What the loss of a global batch is a mean of, so that each split of it gives the same result."""

    section = Section.SCALING
    over: str
    """`rows`, `tokens`, or `both` for a sum of such means."""
    coupled: bool


@dataclass(frozen=True)
class ModelRole(Claim):
    """A model of the job, and how often it runs for each row or response."""

    section = Section.MODELS
    role: str
    weights: str
    trained: bool
    forwards: int
    silent: int
    grouped: bool
    cached: bool


@dataclass(frozen=True)
class Recurrence(Claim):
    """The advantages that a rollout computes from what each token is paid.

    `penalty` is the text of what is subtracted: from each token (`by_token`), or from the reward of the response.
    `decay` is that of the critic's temporal differences; None without a critic. `std` has what is subtracted from the
    number of responses, and what is added to their deviation.
    """

    section = Section.ROLLOUT
    earned: str
    penalty: str
    by_token: bool
    discount: float
    decay: float | None
    baseline: str
    level: float
    std: tuple[int, float] | None
    whiten: bool


@dataclass(frozen=True)
class Endless(Claim):
    """The loss of a term falls as long as its margin grows; where labels are noisy, the best margin is finite."""

    section = Section.OPTIMUM
    term: str
    z: Node
    value: Node


@dataclass(frozen=True)
class Turns(Claim):
    """The margins at which the loss of a pair turns, where it does not only fall: `low` minima and `high` maxima."""

    section = Section.OPTIMUM
    term: str
    z: Node
    value: Node
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True)
class Unbounded(Claim):
    """The loss of a single pair has no lower bound, because it falls at a constant rate as its margin grows."""

    section = Section.OPTIMUM
    term: str
    z: Node
    value: Node


@dataclass(frozen=True)
class WinRateOptimum(Claim):
    """The optimum of a regression on win rates, over samples of the anchor.

    u = t − W(κ·e^t), t = η·(P − b)/β; with `partition` and β = 1, π = anchor·exp(η·P)/Z.
    """

    section = Section.OPTIMUM
    term: str
    eta: float
    beta: float
    baseline: float | str
    exact: bool

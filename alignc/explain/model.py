"""An explanation as data, which each printer shows in its own format."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from alignc.claims import Claim
from alignc.claims.model import Push, Section, Slope, SlopeAtStart, StepZero
from alignc.claims.render import Line, as_data, as_text, equation_text, lines
from alignc.lower.rollout_metrics import Logged

__all__ = ["Coefficient", "Explanation", "Given", "Where", "as_json"]


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
    """A derivative of the loss: as a formula, at the start, and in words."""

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
    claims: tuple[Claim, ...]
    """What is stated beyond the formula."""
    data: str
    metrics: tuple[str, ...]
    losses: tuple[str, ...] = ()
    """The loss of each term, if there are several: L_policy = …"""
    generation: tuple[str, ...] = ()
    """The end of responses and the unused settings, as the folder of the policy has them; empty without a folder."""
    logged: tuple[Logged, ...] = ()
    """The metrics of rollouts, in addition to the metrics of the loss."""

    @property
    def gradient(self) -> tuple[Coefficient, ...]:
        """The derivatives by the trained outputs, each with what it does."""
        return tuple(
            _coefficient(line) for line in lines(self.claims, Section.GRADIENT) if isinstance(line[0], Slope)
        )

    @property
    def step0(self) -> dict[str, float]:
        """The metrics that have one value for all data before the first step."""
        return {c.metric: c.value for c in self.claims if isinstance(c, StepZero)}

    def said(self, section: Section) -> list[str]:
        """List the lines of a section as plain text."""
        return [as_text(line) for line in lines(self.claims, section)]

    def said_all(self) -> list[str]:
        """List what is said beyond the formula, section by section."""
        return [line for section in Section for line in self.said(section)]

    @property
    def healthy(self) -> dict[str, str]:
        """What the claims say of curves, by metric."""
        return dict(line.partition(": ")[::2] for line in self.said(Section.HEALTHY))


def _coefficient(line: Line) -> Coefficient:
    slope, rest = line[0], line[1:]
    assert isinstance(slope, Slope)
    of, _, formula = equation_text(slope).partition(" = ")
    start = next((c.value for c in rest if isinstance(c, SlopeAtStart)), None)
    words = (
        as_text(tuple(c for c in rest if isinstance(c, Push))) or as_text(line).partition(f"{formula}: ")[2]
    )
    return Coefficient(slope.response, of, formula, start, words)


def as_json(explained: Explanation) -> dict[str, Any]:
    """Return an explanation as plain data: its fields, its claims, and the lines of each section."""
    fields = {f.name: getattr(explained, f.name) for f in dataclasses.fields(explained)}
    fields["claims"] = [as_data(claim) for claim in explained.claims]
    sections = {str(s).replace(" ", "_"): explained.said(s) for s in Section if s not in OWN}
    views = {"gradient": explained.gradient, "step0": list(explained.step0.items())}
    views["healthy"] = list(explained.healthy.items())
    return {name: _plain(value) for name, value in {**fields, **sections, **views}.items()}


OWN = (Section.TITLE, Section.GRADIENT, Section.STEP_ZERO, Section.HEALTHY, Section.DATA)
"""The sections that plain data shows in a form of their own."""


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return (
        dataclasses.asdict(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
    )

"""The result of `verify`: claims, each with its verdict by enumeration."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Claim", "Curve", "Table", "Verdict", "Verified", "judged"]


class Verdict(StrEnum):
    """What enumeration says of a claim. Only `refuted` fails a spec."""

    HOLDS = "holds"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    """A solver did not converge, or no closed form is known: `found` says what is known."""
    TOLD = "told"
    """A number that is shown, and no claim."""


def judged(holds: bool) -> Verdict:
    """Turn a test that always decides into a verdict."""
    return Verdict.HOLDS if holds else Verdict.REFUTED


@dataclass(frozen=True)
class Claim:
    """A claim of explain, of the checks or of the theory, and its result on the toy policy.

    `gap` is the largest difference found.
    """

    about: str
    says: str
    found: str
    gap: float | None
    verdict: Verdict

    @property
    def holds(self) -> bool | None:
        """Whether the claim holds; None where that is not decided, or nothing is claimed."""
        return {Verdict.HOLDS: True, Verdict.REFUTED: False}.get(self.verdict)


@dataclass(frozen=True)
class Curve:
    """A line of the plot: a quantity along gradient flow, or over what `over` says."""

    name: str
    values: tuple[float, ...]
    over: str = "step of gradient flow"


@dataclass(frozen=True)
class Table:
    """Numbers that belong side by side."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Verified:
    """All claims of a spec, the curves of its gradient flow, tables, and a summary.

    `general` holds the claims about KL estimators that no spec changes.
    """

    name: str
    claims: tuple[Claim, ...]
    curves: tuple[Curve, ...] = field(default=())
    tables: tuple[Table, ...] = field(default=())
    general: tuple[Claim, ...] = field(default=())
    does: str = ""
    """What the spec does, in one sentence."""
    untried: str = ""
    """What was not tried, in one sentence."""

    explained: tuple[Claim, ...] = field(default=())
    """What `explain` says of the spec."""

    @property
    def holds(self) -> bool:
        """Whether no claim is refuted."""
        return not self.of(Verdict.REFUTED)

    def of(self, verdict: Verdict) -> list[Claim]:
        """List the claims with a verdict."""
        return [c for c in (*self.claims, *self.explained, *self.general) if c.verdict is verdict]

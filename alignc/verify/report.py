"""What `verify` returns: claims, each with what was found by enumeration."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Claim", "Curve", "Verified"]


@dataclass(frozen=True)
class Claim:
    """Something that explain, checks or theory says, and what the toy policy shows.

    `gap` is the largest difference found; `holds` is None for what is told and not claimed.
    """

    about: str
    says: str
    found: str
    gap: float | None
    holds: bool | None


@dataclass(frozen=True)
class Curve:
    """A line of the plot: a quantity along gradient flow."""

    name: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Verified:
    """All claims of a spec, and the curves of its gradient flow."""

    name: str
    claims: tuple[Claim, ...]
    curves: tuple[Curve, ...] = field(default=())

    @property
    def holds(self) -> bool:
        """Whether no claim fails."""
        return all(c.holds is not False for c in self.claims)

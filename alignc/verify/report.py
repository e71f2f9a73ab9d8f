"""The result of `verify`: claims, each with its result by enumeration."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Claim", "Curve", "Table", "Verified"]


@dataclass(frozen=True)
class Claim:
    """A claim of explain, of the checks or of the theory, and its result on the toy policy.

    `gap` is the largest difference found; `holds` is None for what is told and not claimed.
    """

    about: str
    says: str
    found: str
    gap: float | None
    holds: bool | None


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
    """All claims of a spec, the curves of its gradient flow, and tables."""

    name: str
    claims: tuple[Claim, ...]
    curves: tuple[Curve, ...] = field(default=())
    tables: tuple[Table, ...] = field(default=())

    @property
    def holds(self) -> bool:
        """Whether no claim fails."""
        return all(c.holds is not False for c in self.claims)

"""The kinds of coefficients that a KL estimator puts on ∇log π, and the optimum of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

__all__ = ["KL", "OPTIMA", "REVERSE", "Kind", "Meaning", "Placement", "scaled"]

Placement = Literal["reward", "loss", "ratio"]
KL, REVERSE = "KL(π‖ref)", "KL(ref‖π)"


class Kind(StrEnum):
    """The effect of a coefficient on a policy."""

    NULL = "null"
    """No effect in expectation: g is constant."""
    KL = "kl"
    REVERSE = "reverse"
    VARIATION = "variation"
    CONVEX = "convex"
    """Another convex f-divergence: g never falls."""
    NONCONVEX = "nonconvex"
    """The coefficient pulls to the reference near it, but g falls somewhere."""
    SADDLE = "saddle"
    """There is no pull at the reference: the force is of second order, or pushes away."""
    KINK = "kink"
    """The force at the reference has the same sign on both sides, at first order."""
    COLLAPSE = "collapse"
    """There is no pull to the reference, and the loss falls without bound if responses are dropped."""
    PARTIAL = "partial"
    """The full expectation in the reward: it acts on later tokens, and not on the choice of the token itself."""
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Meaning:
    """The meaning of an estimator at a placement, on samples of the policy."""

    kind: Kind
    divergence: str
    """The divergence that is descended, with its arguments."""
    g: str
    """The coefficient on ∇log π, over u."""
    f: str | None
    """f(w) of the divergence, up to a multiple of w and a constant; None if no closed form is known."""
    scale: float = 1.0
    """The factor of the divergence that is descended."""
    witness: str = ""
    """Numbers that show whether g never falls, or that leave it undecided."""

    @property
    def optimum(self) -> str:
        """The policy that maximises E[R] − β·(the divergence)."""
        return OPTIMA[self.kind]

    @property
    def by_ratio(self) -> bool:
        """Whether the optimum is an equation for w = π/ref, solved or not."""
        return self.sound or self.kind in (Kind.NONCONVEX, Kind.UNDECIDED)

    @property
    def sound(self) -> bool:
        """Whether the reference is a strict minimum of the divergence."""
        return self.kind in (Kind.KL, Kind.REVERSE, Kind.VARIATION, Kind.CONVEX)


OPTIMA: Mapping[Kind, str] = {
    Kind.NULL: "none: only the reward decides, and the policy ends at the best response",
    Kind.KL: "w = exp((R − ν)/β): π = ref·exp(R/β)/Z (Gibbs)",
    Kind.REVERSE: "w = β/(β + ν − R) (hyperbolic, not Gibbs)",
    Kind.VARIATION: "w moves only where R − ν exceeds β: each response stays at the reference, or goes to a bound",
    Kind.CONVEX: "w solves g(log w) = (R − ν)/β",
    Kind.NONCONVEX: "w solves g(log w) = (R − ν)/β, which may have several solutions",
    Kind.SADDLE: "none near the reference: nothing holds the policy there",
    Kind.KINK: "none near the reference: nothing holds the policy there",
    Kind.COLLAPSE: "none: the penalty itself drives the policy to a point mass",
    Kind.PARTIAL: "not Gibbs: each token is charged for the divergence of later tokens, and not for its own",
    Kind.UNDECIDED: "w solves g(log w) = (R − ν)/β, if this equation has one solution",
}
"""T3: at the optimum g(log w) = (R − ν)/β, with ν that normalises."""


def scaled(found: Meaning, factor: float) -> Meaning:
    """Scale a meaning by a factor of its divergence."""
    return found if factor == 1 else replace(found, scale=factor, divergence=f"{factor:g}·{found.divergence}")

"""Which divergence a KL estimator really descends (from the coefficient on ∇log π), and the optimum that follows.

Let g(u) multiply ∇log π(y) in the expected gradient over y ∼ π, u = log π/ref: κ in the reward, κ′ in the loss,
κ + κ′ under a differentiated ratio. Then E[g(u)∇log π] = ∇D_f with f′(w) = g(log w), w = π/ref, and D_f is convex
where g never falls. The estimators that have a name are rows of a table; a formula is decided in
`alignc.theory.symbolic`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

__all__ = ["OPTIMA", "Kind", "Meaning", "Placement", "meaning"]

Placement = Literal["reward", "loss", "ratio"]
KL, REVERSE = "KL(π‖ref)", "KL(ref‖π)"


class Kind(StrEnum):
    """What a coefficient does to a policy."""

    NULL = "null"
    """Nothing in expectation: g is constant."""
    KL = "kl"
    REVERSE = "reverse"
    VARIATION = "variation"
    CONVEX = "convex"
    """Another convex f-divergence: g never falls."""
    NONCONVEX = "nonconvex"
    """Pulls back near the reference, but g falls somewhere."""
    SADDLE = "saddle"
    """Does not pull back at the reference: the force is of second order, or pushes away."""
    KINK = "kink"
    """The force at the reference has the same sign on both sides, at first order."""
    COLLAPSE = "collapse"
    """Does not pull back, and rewards dropping responses without bound."""
    PARTIAL = "partial"
    """The full expectation in the reward: it reaches what follows a token, never the token's own choice."""
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Meaning:
    """What an estimator at a place means on the policy's own samples."""

    kind: Kind
    divergence: str
    """What is descended, with its arguments."""
    g: str
    """The coefficient on ∇log π, over u."""
    f: str | None
    """f(w) of the divergence, up to a multiple of w and a constant; None where no closed form is known."""
    scale: float = 1.0
    """How many times the divergence is descended."""
    witness: str = ""
    """Numbers that decide, or fail to decide, whether g never falls."""

    @property
    def optimum(self) -> str:
        """The policy that maximises E[R] − β·(what is descended)."""
        return OPTIMA[self.kind]

    @property
    def sound(self) -> bool:
        """Whether the reference is a strict minimum of what is descended."""
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

ABSENT = "nothing"
TABLE: Mapping[tuple[str, Placement], Meaning] = {
    ("k1", "reward"): Meaning(Kind.KL, KL, "u", "w·log(w)"),
    ("k1", "loss"): Meaning(Kind.NULL, ABSENT, "1", "w"),
    ("k1", "ratio"): Meaning(Kind.KL, KL, "u + 1", "w·log(w)"),
    ("k2", "reward"): Meaning(Kind.SADDLE, "½E_π[u²] − KL(π‖ref)", "u²/2", "w·log(w)²/2 − w·log(w) + w"),
    ("k2", "loss"): Meaning(Kind.KL, KL, "u", "w·log(w)"),
    ("k2", "ratio"): Meaning(Kind.NONCONVEX, "E_π[u²/2]", "u²/2 + u", "w·log(w)²/2"),
    ("k3", "reward"): Meaning(Kind.COLLAPSE, "KL(π‖ref) − KL(ref‖π)", "e^−u − 1 + u", "(w + 1)·log(w)"),
    ("k3", "loss"): Meaning(Kind.REVERSE, REVERSE, "1 − e^−u", "−log(w)"),
    ("k3", "ratio"): Meaning(Kind.KL, KL, "u", "w·log(w)"),
    ("abs", "reward"): Meaning(Kind.KINK, "E_π[|u|] − Σ|π − ref|", "|u|", "w·|log(w)| − |w − 1|"),
    ("abs", "loss"): Meaning(Kind.VARIATION, "2·TV(π, ref) = Σ|π − ref|", "sign(u)", "|w − 1|"),
    ("abs", "ratio"): Meaning(Kind.NONCONVEX, "E_π[|u|]", "|u| + sign(u)", "w·|log(w)|"),
    ("full", "reward"): Meaning(Kind.PARTIAL, "KL(π‖ref) of the tokens that follow", "u", None),
    ("full", "loss"): Meaning(Kind.KL, KL, "u", "w·log(w)"),
    ("full", "ratio"): Meaning(Kind.KL, KL, "u", "w·log(w)"),
}
"""The estimators that have a name. `full`, the expectation itself, is that of one step."""


def meaning(estimator: str, placement: Placement) -> Meaning:
    """Find what an estimator at a place descends on-policy. A formula is decided with sympy.

    Raises FormulaError for what is no formula over u.
    """
    if known := TABLE.get((estimator, placement)):
        return known
    from alignc.theory.symbolic import decide

    return decide(estimator, placement)


def scaled(found: Meaning, factor: float) -> Meaning:
    """Say how many times a divergence is descended."""
    return found if factor == 1 else replace(found, scale=factor, divergence=f"{factor:g}·{found.divergence}")

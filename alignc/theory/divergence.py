"""The divergence that a KL estimator descends, from its coefficient on ∇log π, and the optimum.

Let g(u) multiply ∇log π(y) in the expected gradient over y ∼ π, u = log π/ref: κ in the reward, κ′ in the loss,
κ + κ′ under a differentiated ratio. Then E[g(u)∇log π] = ∇D_f with f′(w) = g(log w), w = π/ref, and D_f is convex
where g never falls. The estimators that have a name are rows of a table; a formula is decided in
`alignc.theory.symbolic`.
"""

from __future__ import annotations

from collections.abc import Mapping

from alignc.spec.kl import ESTIMATORS
from alignc.theory.kinds import KL, REVERSE, Kind, Meaning, Placement

__all__ = ["meaning"]

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
"""The named estimators. `full` is the expectation of one step itself."""


def meaning(estimator: str, placement: Placement) -> Meaning:
    """Return the meaning of an estimator at a placement, on-policy. A formula is decided with sympy.

    Raises FormulaError for what is no formula over u.
    """
    if known := TABLE.get((estimator, placement)):
        return known
    from alignc.theory.symbolic import decide

    row = ESTIMATORS.get(estimator)
    return decide(estimator if row is None or row.kappa is None else row.kappa, placement)

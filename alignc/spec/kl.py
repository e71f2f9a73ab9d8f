"""A KL estimator in a spec: as a term of the loss, and as a policy gradient's `kl:` block."""

from __future__ import annotations

from typing import Literal

from alignc.spec.base import Spec, field

__all__ = ["ESTIMATORS", "AdaptiveKL", "KLPlacement"]

ESTIMATORS = ("k1", "k2", "k3", "abs", "full")
"""The estimators that have a name; any other text is a formula κ(u)."""


class AdaptiveKL(Spec):
    """A strength that follows the KL (Ziegler et al. 2019, section 2.2)."""

    target: float = field(..., "KL of a response to the reference that is aimed at.", unit="nat", gt=0)
    horizon: float = field(
        10_000.0, "Responses in which the strength follows; fewer: faster.", unit="response", gt=0
    )


class KLPlacement(Spec):
    """How a policy gradient is held to its reference: which estimator, and where it stands."""

    estimator: str = field(
        "k1",
        "`k1` u, `k2` u²/2, `k3` e^−u − 1 + u, `abs` |u|, `full` (the whole vocabulary), or a formula κ(u), "
        "where u = log π/ref.",
        max_length=400,
    )
    placement: Literal["reward", "loss", "ratio"] = field(
        "reward", "In the reward, in the loss, or in the loss under a differentiated importance ratio."
    )
    beta: float = field(0.05, "Strength of the pull to the reference.", symbol="β", unit="reward/nat", ge=0)
    adaptive: AdaptiveKL | None = field(
        None, "Let `beta` follow the KL from rollout to rollout; in the reward alone. Left out: it is fixed."
    )
    granularity: Literal["token", "sequence"] = field(
        "token",
        "An estimate for every token (in the reward: paid where the token stands), or one for the whole response.",
    )
    anchor: Literal["initial", "previous_iterate", "ema"] = field(
        "initial", "The model that the policy is held to."
    )

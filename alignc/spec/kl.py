"""KL estimators in a spec: their names, and the `kl:` block of a policy gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from alignc.spec.base import Spec, field

__all__ = ["ESTIMATORS", "FULL", "K1", "K2", "K3", "AdaptiveKL", "EstimatorRow", "KLPlacement"]


@dataclass(frozen=True)
class EstimatorRow:
    """An estimator of the KL by its name: its formula κ(u), u = log π/ref (Schulman 2020).

    `kappa` is None where no log-ratio gives the estimate, because the estimator reads the whole vocabulary.
    """

    name: str
    kappa: str | None


K1 = EstimatorRow("k1", "u")
K2 = EstimatorRow("k2", "u**2/2")
K3 = EstimatorRow("k3", "u+expm1(-u)")
ABS = EstimatorRow("abs", "abs(u)")
FULL = EstimatorRow("full", None)
ESTIMATORS: Mapping[str, EstimatorRow] = {row.name: row for row in (K1, K2, K3, ABS, FULL)}
"""The estimators that have a name; any other text is a formula κ(u)."""


class AdaptiveKL(Spec):
    """An adaptive KL controller (Ziegler et al. 2019, section 2.2)."""

    target: float = field(..., "Target of the KL of a response to the reference.", unit="nat", gt=0)
    horizon: float = field(
        10_000.0,
        "Number of responses in which `beta` adapts; a smaller number adapts faster.",
        unit="response",
        gt=0,
    )


class KLPlacement(Spec):
    """The KL of a policy gradient to its reference: its estimator and its placement."""

    estimator: str = field(
        K1.name,
        "`k1` u, `k2` u²/2, `k3` e^−u − 1 + u, `abs` |u|, `full` (the whole vocabulary), or a formula κ(u), "
        "where u = log π/ref.",
        max_length=400,
    )
    placement: Literal["reward", "loss", "ratio"] = field(
        "reward",
        "`reward`: in the reward; `loss`: in the loss; `ratio`: in the loss, under a differentiated importance ratio.",
    )
    beta: float = field(0.05, "Strength of the pull to the reference.", symbol="β", unit="reward/nat", ge=0)
    adaptive: AdaptiveKL | None = field(
        None, "Adapt `beta` to the KL after each rollout, for a KL in the reward. By default `beta` is fixed."
    )
    granularity: Literal["token", "sequence"] = field(
        "token",
        "`token`: one estimate per token (in the reward of this token); `sequence`: one estimate per response.",
    )
    anchor: Literal["initial", "previous_iterate", "ema"] = field(
        "initial", "The model that the KL pulls the policy to."
    )

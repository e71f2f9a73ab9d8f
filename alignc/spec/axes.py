"""The axes of a term: score, margin and link. The three choices are independent."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from alignc.spec.base import Spec, field, named
from alignc.spec.model_source import ScoreAnchor
from alignc.spec.scores import LOG_RATIO, ScoreKind

__all__ = [
    "ColumnMargin",
    "ConstantMargin",
    "DiscoPopLink",
    "DropMargin",
    "ExoLink",
    "ExponentialLink",
    "FormulaLink",
    "HingeLink",
    "LengthMargin",
    "Link",
    "LogisticLink",
    "Margin",
    "NoMargin",
    "RewardGapMargin",
    "RobustLink",
    "Score",
    "SquaredLink",
    "UtilityLink",
]


class Score(Spec):
    """The score of a response."""

    of: ScoreKind = field(
        LOG_RATIO,
        "`log_ratio`: log-ratio to an anchor; `log_prob`: log-probability of the policy; `log_odds`: log-odds of the "
        "mean token probability; `f_ratio`: f′ of the ratio, for a divergence f; `scalar_head`: score of a reward "
        "model.",
    )
    reduce: Literal["sum", "mean"] = field("sum", "Reduction over the tokens of a response: sum or mean.")
    beta: float = field(1.0, "Factor of the score.", symbol="β", gt=0)
    anchor: ScoreAnchor | None = field(
        None,
        "The model in the denominator of a ratio. `initial`: the policy at the start; `previous_iterate`: the policy "
        "at the start of this iteration; `rollout`: the policy that sampled; `ema`: the moving average of the weights; "
        "`none`: no ratio. Another model is a folder or a hub id (with a slash), or `{run: SPEC}`. Default: `initial` "
        "for a ratio.",
    )
    divergence: Literal["reverse_kl", "forward_kl", "js", "alpha"] = field(
        "reverse_kl", "Divergence of `f_ratio`."
    )
    divergence_alpha: float = field(0.5, "Order of `divergence: alpha`.", symbol="α", gt=0, lt=1)
    transform: str | None = field(None, "A formula over the reduced score x, such as `(1-exp(-x/2))*2`.")
    tail_weight: float = field(
        1.0,
        "Weight of the tokens beyond the length of the shorter response of a pair.",
        symbol="α",
        ge=0,
        le=1,
    )
    tail_of: Literal["both", "policy"] = field(
        "both", "Models that `tail_weight` applies to: policy and reference, or only the policy."
    )


class NoMargin(Spec):
    """No margin between the two scores."""

    kind: Literal["none"] = field("none", "No margin.")


class ConstantMargin(Spec):
    """A margin that is the same for every pair."""

    kind: Literal["constant"] = field(..., "A constant, subtracted from the difference of scores.")
    value: float = field(..., "The margin, in the unit of the score.", symbol="γ")


class LengthMargin(Spec):
    """A margin that removes the advantage of longer responses (Park et al. 2024)."""

    kind: Literal["length"] = field(..., "−α for each token by which the chosen response is longer.")
    alpha: float = field(..., "Weight of one token of length.", symbol="α", unit="1/token")


class RewardGapMargin(Spec):
    """A margin that equals the scaled difference of the rewards."""

    kind: Literal["reward_gap"] = field(..., "The difference of the rewards of the two responses.")
    scale: float = field(1.0, "Factor of the difference.", symbol="κ")


class ColumnMargin(Spec):
    """A margin from the data for each pair."""

    kind: Literal["column"] = field(..., "The column `margin` of the data.")


class DropMargin(Spec):
    """A margin that grows if the chosen response falls below the reference (DPO-positive)."""

    kind: Literal["drop"] = field(..., "weight · max(0, log π_ref(y_w) − log π(y_w)).")
    weight: float = field(..., "Factor of the drop.", symbol="λ", ge=0)


class LogisticLink(Spec):
    """The negative log-likelihood of a Bradley-Terry preference."""

    kind: Literal["logistic"] = field(..., "−log σ(z).")
    label_smoothing: float = field(
        0.0, "Probability that a label is flipped (conservative DPO).", symbol="ε", ge=0, lt=1
    )


class RobustLink(Spec):
    """The unbiased estimate of the logistic loss under flipped labels (Chowdhury et al. 2024)."""

    kind: Literal["robust"] = field(..., "(−(1−ε)·log σ(z) + ε·log σ(−z)) / (1−2ε).")
    label_smoothing: float = field(0.1, "Probability that a label is flipped.", symbol="ε", ge=0, lt=1)


class SquaredLink(Spec):
    """The squared distance."""

    kind: Literal["squared"] = field(..., "z².")


class HingeLink(Spec):
    """The hinge of a support-vector machine."""

    kind: Literal["hinge"] = field(..., "max(0, δ − z).")
    delta: float = field(1.0, "Distance at which the loss becomes 0.", symbol="δ", gt=0)


class ExponentialLink(Spec):
    """The exponential of boosting."""

    kind: Literal["exponential"] = field(..., "exp(−z).")


class UtilityLink(Spec):
    """A bounded utility, flat on both sides (Kahneman-Tversky)."""

    kind: Literal["utility"] = field(..., "1 − σ(z).")


class ExoLink(Spec):
    """The reverse KL to a smoothed label (Ji et al. 2024)."""

    kind: Literal["exo"] = field(..., "KL of (σ(z), σ(−z)) to (1−ε, ε).")
    epsilon: float = field(1e-3, "Smoothing of the label.", symbol="ε", gt=0, lt=0.5)


class DiscoPopLink(Spec):
    """A blend of logistic and exponential loss, found by search (Lu et al. 2024)."""

    kind: Literal["discopop"] = field(..., "(1−m)·softplus(−z) + m·exp(−z), with m = σ(z/τ).")
    tau: float = field(0.05, "Temperature of the blend.", symbol="τ", gt=0)


class FormulaLink(Spec):
    """A link that the spec gives as a formula."""

    kind: Literal["formula"] = field(..., "A formula over z.")
    formula: str = field(..., "The formula, such as `softplus(-z)`.", max_length=400)


_Margin = Annotated[
    NoMargin | ConstantMargin | LengthMargin | RewardGapMargin | ColumnMargin | DropMargin,
    Field(discriminator="kind"),
]
Margin = Annotated[_Margin, named(_Margin)]
_Link = Annotated[
    LogisticLink
    | RobustLink
    | SquaredLink
    | HingeLink
    | ExponentialLink
    | UtilityLink
    | ExoLink
    | DiscoPopLink
    | FormulaLink,
    Field(discriminator="kind"),
]
Link = Annotated[_Link, named(_Link, formulas=True)]

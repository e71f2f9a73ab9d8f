"""The axes of a term: score, margin and link. Each is a choice of its own, and they combine freely."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from alignc.spec.base import Spec, field, named
from alignc.spec.model_source import ScoreAnchor

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
    """What a response is worth to the policy."""

    of: Literal["log_ratio", "log_prob", "log_odds", "f_ratio", "scalar_head"] = field(
        "log_ratio",
        "`log_ratio` to an anchor, the policy's own `log_prob`, the `log_odds` of its mean, `f_ratio` "
        "(f′ of the ratio, for a divergence f), or the `scalar_head` of a reward model.",
    )
    reduce: Literal["sum", "mean"] = field("sum", "How tokens become one number: their sum, or their mean.")
    beta: float = field(1.0, "Factor of the score.", symbol="β", gt=0)
    anchor: ScoreAnchor | None = field(
        None,
        "The model that a ratio is taken to: the policy as it was at the start, at the start of this iteration, "
        "or when it sampled, the moving average of its weights, or another model: a folder, a hub id "
        "(each with a slash) or `{run: SPEC}`. Left out: `initial` where a ratio is taken.",
    )
    divergence: Literal["reverse_kl", "forward_kl", "js", "alpha"] = field(
        "reverse_kl", "The divergence of `f_ratio`."
    )
    divergence_alpha: float = field(0.5, "The order of `divergence: alpha`.", symbol="α", gt=0, lt=1)
    transform: str | None = field(None, "A formula over x, the reduced score, such as `(1-exp(-x/2))*2`.")
    tail_weight: float = field(
        1.0, "Weight of the tokens beyond the length of the pair's shorter response.", symbol="α", ge=0, le=1
    )
    tail_of: Literal["both", "policy"] = field(
        "both", "Whose tail is weighed down: policy and reference, or the policy's alone."
    )


class NoMargin(Spec):
    """No margin between the two scores."""

    kind: Literal["none"] = field("none", "No margin.")


class ConstantMargin(Spec):
    """A margin that is the same for every pair."""

    kind: Literal["constant"] = field(..., "A constant, subtracted from the difference of scores.")
    value: float = field(..., "The margin, in the unit of the score.", symbol="γ")


class LengthMargin(Spec):
    """A margin that pays a response for its length in advance (Park et al. 2024)."""

    kind: Literal["length"] = field(
        ..., "α for every token that the chosen response is longer, paid in advance."
    )
    alpha: float = field(..., "Weight of one token of length.", symbol="α", unit="1/token")


class RewardGapMargin(Spec):
    """A margin as large as the difference of the rewards."""

    kind: Literal["reward_gap"] = field(..., "The difference of the responses' rewards.")
    scale: float = field(1.0, "Factor of the difference.", symbol="κ")


class ColumnMargin(Spec):
    """A margin that the data gives, pair by pair."""

    kind: Literal["column"] = field(..., "The data's column `margin`.")


class DropMargin(Spec):
    """A margin that grows as the chosen response becomes less likely than under the reference (DPO-positive)."""

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
    delta: float = field(1.0, "Where the hinge opens.", symbol="δ", gt=0)


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
    """A blend of logistic and exponential loss that was found by search (Lu et al. 2024)."""

    kind: Literal["discopop"] = field(..., "(1−m)·softplus(−z) + m·exp(−z), with m = σ(z/τ).")
    tau: float = field(0.05, "Temperature of the blend.", symbol="τ", gt=0)


class FormulaLink(Spec):
    """A link of one's own."""

    kind: Literal["formula"] = field(..., "A formula over z.")
    formula: str = field(..., "Such as `softplus(-z)`.", max_length=400)


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

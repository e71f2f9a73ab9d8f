"""The objective after expansion: a weighted sum of typed terms."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from alignc.spec.base import Spec, field

__all__ = [
    "ConstantMargin",
    "HingeLink",
    "LengthMargin",
    "Likelihood",
    "Link",
    "LogisticLink",
    "Margin",
    "NoMargin",
    "Objective",
    "Preference",
    "Score",
    "SquaredLink",
    "Term",
]


class Score(Spec):
    """What a response is worth to the policy."""

    of: Literal["log_ratio", "log_prob"] = field(
        "log_ratio", "`log_ratio` to an anchor, or the policy's own `log_prob`."
    )
    reduce: Literal["sum", "mean"] = field("sum", "How tokens become one number: their sum, or their mean.")
    beta: float = field(1.0, "Factor of the score.", symbol="β", gt=0)
    anchor: Literal["initial", "none"] = field(
        "initial", "The model that `log_ratio` is taken to: the policy as it was at the start."
    )


class NoMargin(Spec):
    """No margin between the two scores."""

    kind: Literal["none"] = field("none", "No margin.")


class ConstantMargin(Spec):
    """A margin that is the same for every pair."""

    kind: Literal["constant"] = field(..., "A constant, subtracted from the difference of scores.")
    value: float = field(..., "The margin, in the unit of the score.", symbol="γ")


class LengthMargin(Spec):
    """A margin that pays a response for its length in advance (Park et al. 2024, eq. 9)."""

    kind: Literal["length"] = field(..., "α for every token that the chosen response is longer.")
    alpha: float = field(..., "Weight of one token of length.", symbol="α", unit="1/token")


Margin = Annotated[NoMargin | ConstantMargin | LengthMargin, Field(discriminator="kind")]


class LogisticLink(Spec):
    """The negative log-likelihood of a Bradley-Terry preference."""

    kind: Literal["logistic"] = field(..., "−log σ(z).")
    label_smoothing: float = field(
        0.0, "Probability that a label is flipped (conservative DPO).", symbol="ε", ge=0, lt=1
    )


class SquaredLink(Spec):
    """The squared distance from the margin."""

    kind: Literal["squared"] = field(..., "z².")


class HingeLink(Spec):
    """The hinge of a support-vector machine."""

    kind: Literal["hinge"] = field(..., "max(0, δ − z).")
    delta: float = field(1.0, "Where the hinge opens.", symbol="δ", gt=0)


Link = Annotated[LogisticLink | SquaredLink | HingeLink, Field(discriminator="kind")]


class TermBase(Spec):
    """What every term has."""

    name: str = field(
        ..., "Name of the term: overrides, logs and the formula use it.", pattern="^[a-z][a-z0-9_]*$"
    )
    weight: float = field(1.0, "Factor of the term in the loss.", symbol="λ")


class Preference(TermBase):
    """link(score(chosen) − score(rejected) − margin)."""

    kind: Literal["preference"] = field(..., "A preference between two responses to one prompt.")
    score: Score = field(Score(), "What a response is worth.")
    margin: Margin = field(NoMargin(), "What the chosen response must be ahead by.")
    link: Link = field(LogisticLink(kind="logistic"), "How the distance becomes a loss.")


class Likelihood(TermBase):
    """The negative log-likelihood of one response."""

    kind: Literal["likelihood"] = field(..., "Supervised fine-tuning.")
    on: Literal["completion", "chosen", "rejected"] = field("completion", "The response that is imitated.")
    reduce: Literal["token_mean", "response_mean", "sum"] = field(
        "token_mean", "Mean over all tokens of the global batch, over each response, or the sum."
    )


Term = Annotated[Preference | Likelihood, Field(discriminator="kind")]


class Objective(Spec):
    """A weighted sum of terms; a preset is expanded to this before it is checked."""

    preset: str | None = field(None, "Name of a preset, or the path of one's own.")
    terms: list[Term] = field(..., "The terms of the loss.", min_length=1)

"""The axes of a policy gradient: its baseline, and its surrogate of the importance ratio."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from alignc.spec.base import Spec, field, named

__all__ = [
    "Baseline",
    "BatchMean",
    "Cispo",
    "Clipped",
    "ConstantBaseline",
    "GroupMean",
    "Importance",
    "LeaveOneOut",
    "NoBaseline",
    "Other",
    "Reinforce",
    "RolloutBaseline",
    "Soft",
    "Surrogate",
    "ValueBaseline",
]


class RolloutBaseline(Spec):
    """A baseline that the rollout computes, because it is made of more than the rewards of one prompt's responses."""


class NoBaseline(Spec):
    """No baseline."""

    kind: Literal["none"] = field("none", "Nothing is subtracted from the reward.")


class ConstantBaseline(Spec):
    """A baseline that is the same for each response."""

    kind: Literal["constant"] = field(..., "A constant.")
    value: float = field(..., "The number that is subtracted from each reward.", symbol="b", unit="reward")


class BatchMean(RolloutBaseline):
    """The mean reward over all responses of the rollout."""

    kind: Literal["batch_mean"] = field(..., "Mean reward of the rollout, over all processes.")


class LeaveOneOut(Spec):
    """The mean reward of the other responses of the group (Kool et al. 2019; RLOO, Ahmadian et al. 2024)."""

    kind: Literal["leave_one_out"] = field(..., "Mean reward of the other responses to the prompt.")


class Other(Spec):
    """The reward of the other response of a pair."""

    kind: Literal["other"] = field(..., "Reward of the other one of two responses to a prompt.")


class GroupMean(Spec):
    """The mean reward of the group, including the response itself (GRPO, Shao et al. 2024)."""

    kind: Literal["group_mean"] = field(..., "Mean reward of all responses to the prompt.")
    std: bool = field(False, "Divide the advantage by the standard deviation of the group.")
    ddof: Literal[0, 1] = field(1, "The variance divides by k − ddof.")
    epsilon: float = field(1e-4, "Added to the standard deviation.", symbol="ε", ge=0)


class ValueBaseline(RolloutBaseline):
    """A learned value of each state (generalised advantage estimation, Schulman et al. 2016)."""

    kind: Literal["value"] = field(
        ..., "Value of the critic; `gae_lambda` balances its bias against variance."
    )


class Reinforce(Spec):
    """log π times the advantage."""

    kind: Literal["reinforce"] = field("reinforce", "A·log π, on samples of the policy.")


class Importance(Spec):
    """The importance ratio times the advantage."""

    kind: Literal["importance"] = field(..., "ρ·A.")


class Clipped(Spec):
    """The smaller of the ratio and the clipped ratio, times the advantage (Schulman et al. 2017)."""

    kind: Literal["clipped"] = field(..., "min(ρ·A, clip(ρ, 1 − low, 1 + high)·A).")
    low: float = field(
        0.2, "Lower clip range: the largest distance of the ratio below 1.", symbol="ε_l", gt=0, le=1
    )
    high: float = field(
        0.2, "Upper clip range: the largest distance of the ratio above 1.", symbol="ε_h", gt=0
    )
    dual: float | None = field(None, "Dual clip: the upper bound of the ratio where A < 0.", symbol="c", gt=1)


class Soft(Spec):
    """A sigmoid gate that replaces the clip (SAPO, Gao et al. 2025)."""

    kind: Literal["soft"] = field(
        ..., "σ(τ·(ρ − 1))·(4/τ)·A: the slope is A at ρ = 1, and decreases on both sides."
    )
    temperature: float = field(
        1.0, "Temperature of the gate; a larger τ closes the gate faster.", symbol="τ", gt=0
    )


class Cispo(Spec):
    """log π times the advantage and the clipped ratio, which has no gradient (MiniMax-M1, 2025)."""

    kind: Literal["cispo"] = field(..., "sg(clip(ρ, 1 − low, 1 + high))·A·log π.")
    low: float = field(
        1.0,
        "Lower clip range: the largest distance of the ratio below 1; 1 means no bound.",
        symbol="ε_l",
        gt=0,
        le=1,
    )
    high: float = field(
        4.0, "Upper clip range: the largest distance of the ratio above 1.", symbol="ε_h", gt=0
    )


_Baseline = Annotated[
    NoBaseline | ConstantBaseline | BatchMean | LeaveOneOut | Other | GroupMean | ValueBaseline,
    Field(discriminator="kind"),
]
Baseline = Annotated[_Baseline, named(_Baseline)]
_Surrogate = Annotated[Reinforce | Importance | Clipped | Soft | Cispo, Field(discriminator="kind")]
Surrogate = Annotated[_Surrogate, named(_Surrogate)]

"""The axes of a policy gradient: what is subtracted from the reward, and what is done with the importance ratio."""

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
    "Soft",
    "Surrogate",
    "ValueBaseline",
]


class NoBaseline(Spec):
    """Nothing is subtracted."""

    kind: Literal["none"] = field("none", "The reward itself.")


class ConstantBaseline(Spec):
    """The same number for every response."""

    kind: Literal["constant"] = field(..., "A constant.")
    value: float = field(..., "What is subtracted from every reward.", symbol="b", unit="reward")


class BatchMean(Spec):
    """The mean over all responses of the rollout."""

    kind: Literal["batch_mean"] = field(..., "Mean reward of the rollout, over all processes.")


class LeaveOneOut(Spec):
    """The mean of the group's other responses (Kool et al. 2019; RLOO, Ahmadian et al. 2024)."""

    kind: Literal["leave_one_out"] = field(..., "Mean reward of the prompt's other responses.")


class Other(Spec):
    """The reward of the pair's other response."""

    kind: Literal["other"] = field(..., "Of two responses to a prompt, the other one's reward.")


class GroupMean(Spec):
    """The mean of the group, the response itself included (GRPO, Shao et al. 2024)."""

    kind: Literal["group_mean"] = field(..., "Mean reward of the prompt's responses.")
    std: bool = field(False, "Divide by the group's standard deviation.")
    ddof: Literal[0, 1] = field(1, "What is subtracted from k in the standard deviation.")
    epsilon: float = field(1e-4, "Added to the standard deviation.", symbol="ε", ge=0)


class ValueBaseline(Spec):
    """A learned value of every state (generalised advantage estimation, Schulman et al. 2016)."""

    kind: Literal["value"] = field(..., "The critic's value; `gae_lambda` weighs its bias against variance.")


class Reinforce(Spec):
    """log π times the advantage."""

    kind: Literal["reinforce"] = field("reinforce", "A·log π, on the policy's own samples.")


class Importance(Spec):
    """The importance ratio times the advantage."""

    kind: Literal["importance"] = field(..., "ρ·A.")


class Clipped(Spec):
    """The smaller of the ratio and the clipped ratio, times the advantage (Schulman et al. 2017)."""

    kind: Literal["clipped"] = field(..., "min(ρ·A, clip(ρ, 1 − low, 1 + high)·A).")
    low: float = field(0.2, "How far below 1 the ratio counts.", symbol="ε_l", gt=0, le=1)
    high: float = field(0.2, "How far above 1 the ratio counts.", symbol="ε_h", gt=0)
    dual: float | None = field(
        None, "Where A < 0, the ratio counts up to this factor (dual clip).", symbol="c", gt=1
    )


class Soft(Spec):
    """A sigmoid gate in the place of the clip (SAPO, Gao et al. 2025)."""

    kind: Literal["soft"] = field(..., "σ(τ·(ρ − 1))·(4/τ)·A: slope A at ρ = 1, fading to both sides.")
    temperature: float = field(1.0, "How fast the gate closes.", symbol="τ", gt=0)


class Cispo(Spec):
    """log π times the advantage and the clipped ratio, which has no gradient (MiniMax-M1, 2025)."""

    kind: Literal["cispo"] = field(..., "sg(clip(ρ, 1 − low, 1 + high))·A·log π.")
    low: float = field(1.0, "How far below 1 the ratio counts; 1: no lower bound.", symbol="ε_l", gt=0, le=1)
    high: float = field(4.0, "How far above 1 the ratio counts.", symbol="ε_h", gt=0)


_Baseline = Annotated[
    NoBaseline | ConstantBaseline | BatchMean | LeaveOneOut | Other | GroupMean | ValueBaseline,
    Field(discriminator="kind"),
]
Baseline = Annotated[_Baseline, named(_Baseline)]
_Surrogate = Annotated[Reinforce | Importance | Clipped | Soft | Cispo, Field(discriminator="kind")]
Surrogate = Annotated[_Surrogate, named(_Surrogate)]

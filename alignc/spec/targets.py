"""The comparison of a single score: its target, and a reference point of the batch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from alignc.contract.baselines import PartitionName
from alignc.spec.base import Spec, field

__all__ = [
    "BatchKL",
    "ConstantTarget",
    "NoPoint",
    "NoTarget",
    "ReferencePoint",
    "RewardTarget",
    "RunningMean",
    "Target",
    "WinRateTarget",
]


class NoTarget(Spec):
    """No target."""

    kind: Literal["none"] = field("none", "The score is compared with zero.")


class ConstantTarget(Spec):
    """A target that is the same for each response."""

    kind: Literal["constant"] = field(..., "A constant.")
    value: float = field(..., "The target, in the unit of the score.", symbol="m")


class RewardTarget(Spec):
    """The reward of the response, minus a baseline."""

    kind: Literal["reward"] = field(..., "scale · (reward − baseline).")
    scale: float = field(1.0, "Factor of the reward.", symbol="κ")
    baseline: Literal["none", "value"] = field(
        "none", "Baseline of the reward: nothing, or a learned value of the prompt."
    )


class WinRateTarget(Spec):
    """The win rate of the response, minus the win rate of an average response (Wu et al. 2024, eq. 3.6)."""

    kind: Literal["win_rate"] = field(..., "eta · (P − baseline).")
    eta: float = field(..., "Step size of the multiplicative-weights update.", symbol="η", gt=0)
    baseline: float | PartitionName = field(
        0.5,
        "Replacement of the log-partition: a constant; `batch_mean`, the mean win rate of the rollout; or "
        "`log_partition`, an estimate from the responses to the prompt. Only self-play has the last two.",
        symbol="b",
    )
    samples: int | None = field(
        None, "Number of responses that estimate the log-partition; by default all responses.", ge=2
    )
    outcome: Literal["column", "won", "lost"] = field(
        "column", "Win rate of the data (`column`), or of a response that always won (1) or always lost (0)."
    )


Target = Annotated[NoTarget | ConstantTarget | RewardTarget | WinRateTarget, Field(discriminator="kind")]


class NoPoint(Spec):
    """No reference point."""

    kind: Literal["none"] = field("none", "Nothing is subtracted.")


class BatchKL(Spec):
    """The estimated KL of the policy to the anchor, from mismatched completions (Ethayarajh et al. 2024)."""

    kind: Literal["batch_kl"] = field(
        ...,
        "max(0, mean log-ratio of the completion of the next row), over the global batch, without gradient.",
    )


class RunningMean(Spec):
    """The mean of all scores so far."""

    kind: Literal["running_mean"] = field(
        ...,
        "Mean score of all rows so far, over all processes, without gradient. Checkpoints store the mean.",
    )


ReferencePoint = Annotated[NoPoint | BatchKL | RunningMean, Field(discriminator="kind")]

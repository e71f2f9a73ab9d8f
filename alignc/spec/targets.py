"""What one response's score is compared with: a target of its own, and a reference point of the batch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

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
    """Zero."""

    kind: Literal["none"] = field("none", "No target: the score is compared with zero.")


class ConstantTarget(Spec):
    """The same target for every response."""

    kind: Literal["constant"] = field(..., "A constant.")
    value: float = field(..., "The target, in the unit of the score.", symbol="m")


class RewardTarget(Spec):
    """The response's reward, less a baseline."""

    kind: Literal["reward"] = field(..., "scale · (reward − baseline).")
    scale: float = field(1.0, "Factor of the reward.", symbol="κ")
    baseline: Literal["none", "value"] = field(
        "none", "What is subtracted: nothing, or a learned value of the prompt."
    )


class WinRateTarget(Spec):
    """The response's win rate, less what an average response wins (Wu et al. 2024, eq. 3.6)."""

    kind: Literal["win_rate"] = field(..., "eta · (P − baseline).")
    eta: float = field(..., "Step size of the multiplicative-weights update.", symbol="η", gt=0)
    baseline: float | Literal["batch_mean", "log_partition"] = field(
        0.5,
        "What stands for the log-partition: a constant, the mean win rate of the rollout, or its estimate from the "
        "prompt's own responses (both in self-play alone).",
        symbol="b",
    )
    samples: int | None = field(None, "Responses that estimate the log-partition; left out: all.", ge=2)
    outcome: Literal["column", "won", "lost"] = field(
        "column", "The win rate of the data, or that of a response that always won or always lost."
    )


Target = Annotated[NoTarget | ConstantTarget | RewardTarget | WinRateTarget, Field(discriminator="kind")]


class NoPoint(Spec):
    """No reference point."""

    kind: Literal["none"] = field("none", "Nothing is subtracted.")


class BatchKL(Spec):
    """The policy's estimated KL to the anchor, from mismatched prompts and completions (Ethayarajh et al. 2024)."""

    kind: Literal["batch_kl"] = field(
        ..., "max(0, mean log-ratio of the next row's completion), over the global batch, without gradient."
    )


class RunningMean(Spec):
    """The mean of all scores seen so far."""

    kind: Literal["running_mean"] = field(
        ..., "Mean of the scores of all rows seen, over all processes, without gradient; kept in checkpoints."
    )


ReferencePoint = Annotated[NoPoint | BatchKL | RunningMean, Field(discriminator="kind")]

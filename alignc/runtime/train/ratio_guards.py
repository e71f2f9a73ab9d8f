"""What must hold at a rollout's first step, and what an online job cannot do."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch

from ...contract.failure import Failure
from ...contract.job import Job
from ...contract.support import require_supported
from .guards import tolerance

__all__ = ["check_ratios", "refuse_partitioned", "steady"]


def check_ratios(
    values: Mapping[str, float], ratios: Sequence[str], rollout: int, step: int, dtype: torch.dtype
) -> None:
    """Stop where a ratio of the policy to the one that sampled is not 1 before the first update (Failure E802).

    The rows of a rollout's first step were scored in the same micro-batches, so that in float64 nothing is left but
    the rounding of the mean.
    """
    limit = 1e-12 if dtype is torch.float64 else tolerance(dtype)
    off = [f"{name} is {values[name]!r}" for name in ratios if not abs(values[name] - 1.0) <= limit]
    if off:
        raise Failure(
            "E802",
            f"step {step}, the first of rollout {rollout}: {', '.join(off)}, not 1",
            why="the policy has not changed since it sampled these responses",
            help="the model scores a row differently in training than before it: look for randomness in its forward",
        )


def steady(job: Job) -> bool:
    """Tell whether a row is scored the same way twice: not where dropout is on, the model's or an adapter's."""
    adapter = job.spec.model.adapter
    return not job.spec.train.dropout and not (adapter and adapter.dropout)


def refuse_partitioned(job: Job) -> None:
    """Refuse to sample from weights that are spread over the ranks (Failure E605)."""
    require_supported(dataclasses.asdict(job.spec))

"""What is known of a first rollout: the policy has not changed yet, so a reference that is its start is the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ...contract.failure import Failure
from ...contract.job import Job
from ..scoring.outputs import RowValues

__all__ = ["check_start", "steady", "tolerance"]


def tolerance(dtype: torch.dtype) -> float:
    """Give how far a value at step 0 may be off: the policy and the reference differ in rounding only."""
    return {torch.float64: 1e-6, torch.float32: 1e-3}.get(dtype, 5e-2)


def steady(job: Job) -> bool:
    """Tell whether a row is scored the same way twice: not where dropout is on, the model's or an adapter's."""
    adapter = job.spec.model.adapter
    return not job.spec.train.dropout and not (adapter and adapter.dropout)


def starts_at_reference(job: Job) -> bool:
    """Tell whether the reference of an online job is the policy as training began."""
    section = job.spec.model
    if section.reference.kind == "adapter_off":
        return section.adapter is not None and section.adapter.off_is_start
    return section.reference.kind != "path"


def check_start(
    job: Job, own: Sequence[RowValues], reference: Sequence[RowValues], dtype: torch.dtype
) -> None:
    """Stop where the policy's log-probabilities of its first responses are not the reference's (Failure E802).

    The mean distance of a token is compared: the KL itself could cancel.
    """
    if not starts_at_reference(job) or not steady(job):
        return
    pairs = zip(own, reference, strict=True)
    apart = [np.abs(one - other) for row, rows in pairs for one, other in zip(row, rows, strict=True)]
    distance = float(np.concatenate(apart).astype(np.float64).mean())
    if not distance <= tolerance(dtype):
        raise Failure(
            "E802",
            f"rollout 1: policy and reference differ by {distance:.3g} nat a token before the first update",
            why="the reference is the policy as training began, so the KL of the first rollout must be 0",
            help="check that the reference is the same model as the policy: see `model.reference` and `alignc explain`",
        )

"""Conditions that hold while a run goes on: values that are known of first steps, finite numbers before each update."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...contract.failure import Failure
from ..data.example import Example
from ..ranks.world import World
from ..rollout.start import steady, tolerance
from ..scoring.context import Context
from ..scoring.micro import ScorerOutputs
from ..scoring.objective import SourceBatch
from .row_source import TrainStep

__all__ = [
    "Evidence",
    "check_finite",
    "check_first_step",
    "check_ratios",
    "check_step0",
    "evidence_of",
]

NAMED = 8


@dataclass(frozen=True)
class Evidence:
    """A micro-batch's rows, which of them have finite log-probabilities, and its share of the loss."""

    examples: Sequence[Example]
    finite: Tensor  # [rows] bool
    share: Tensor

    def suspects(self) -> list[str]:
        """Name the rows that a non-finite number may come from; none where all is finite."""
        bad = [e.origin for e, ok in zip(self.examples, self.finite.tolist(), strict=True) if not ok]
        if bad or bool(torch.isfinite(self.share)):
            return bad
        return [example.origin for example in self.examples]


def evidence_of(examples: Sequence[Example], outputs: ScorerOutputs, share: Tensor) -> Evidence:
    """Keep the evidence that names rows later, without waiting for the device now."""
    tensors = list(outputs.values()) if isinstance(outputs, Mapping) else [outputs]
    finite = [torch.isfinite(each.detach()).flatten(1).all(dim=1) for each in tensors if each.dim() > 1]
    return Evidence(examples, torch.stack(finite).all(dim=0), share.detach())


def check_finite(
    values: Mapping[str, float], norm: float, evidence: Sequence[Evidence], step: int, world: World
) -> None:
    """Stop before the update where the loss or the gradient's norm is not finite (Failure E801).

    Both are the same on every rank, so that all ranks stop here together.
    """
    if math.isfinite(values["loss"]) and math.isfinite(norm):
        return
    suspects = joined(world, [row for e in evidence for row in e.suspects()])
    where = suspects or joined(world, [x.origin for e in evidence for x in e.examples])
    what = f"loss is {values['loss']}" if not math.isfinite(values["loss"]) else f"gradient norm is {norm}"
    raise Failure(
        "E801",
        f"step {step}: the {what}, so the weights were not updated",
        why=f"{'the cause is in' if suspects else 'the step used'} {some(where)}",
        help="look at these rows with `alignc data`; a lower learning rate or a lower `max_grad_norm` may also help",
    )


def joined(world: World, names: list[str]) -> list[str]:
    """Join the names that the ranks hold."""
    return [name for held in world.gather(names) for name in held]


def some(names: Sequence[str]) -> str:
    """List a few names and count the rest."""
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more rows" if rest > 0 else "")


def check_step0(values: Mapping[str, float], expected: Mapping[str, float], dtype: torch.dtype) -> None:
    """Compare the first step's values with those that the loss must have there (Failure E802)."""
    limit = tolerance(dtype)
    # Accuracies jump where a margin of 0 is rounded to either side; everything else moves with the rounding.
    off = {
        name: (values[name], wanted)
        for name, wanted in expected.items()
        if name in values
        and not name.endswith("accuracies")
        and not abs(values[name] - wanted) <= limit * max(1.0, abs(wanted))
    }
    if off:
        listed = ", ".join(
            f"{name} is {value:.6g}, not {wanted:.6g}" for name, (value, wanted) in off.items()
        )
        raise Failure(
            "E802",
            f"step 1: {listed}",
            why="before the first update, policy and reference are the same, so these values are known",
            help="check that the reference is the same model as the policy: see `model.reference` and `alignc explain`",
        )


def check_first_step(
    context: Context, batches: Sequence[SourceBatch], step: TrainStep, values: Mapping[str, float]
) -> None:
    """Compare the values of a first step, of the run or of a rollout, with those that are known of it (Failure E802).

    With dropout they are not known: the policy is then not quite its own reference, or the policy that sampled.
    """
    job, dtype = context.job, context.layout.computes_in
    if step.starts_rollout and steady(job):  # nothing has changed since the policy sampled
        ratios = [name for batch in batches for name in batch.objective.needs.ratios]
        check_ratios(values, ratios, step.rollout or 0, step.number, dtype)
    holds = not job.spec.train.dropout if step.rollout is None else steady(job)
    if step.number == 1 and holds:
        check_step0(values, job.needs.step0, dtype)


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
            why="the policy has not changed since it sampled these responses, so the ratios must be 1",
            help="the model scores a row differently in training and before: look for randomness in its forward",
        )

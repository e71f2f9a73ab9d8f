"""A micro-batch: from rows to what the job's loss takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .attention import takes_packed, use_packed
from .data.example import Example
from .failure import Failure
from .job import Job, Plan
from .layout import Batch, pack, pad

__all__ = ["Anchors", "Arrangement", "arrange", "loss_inputs", "tokens_of", "totals_of"]

Anchors = Mapping[str, Sequence[tuple[np.ndarray, ...]]]
"""For each anchor the log-probabilities of every row's responses, per token, by ``Example.row``."""


@dataclass(frozen=True)
class Arrangement:
    """How rows become a batch, and in which type the model computes."""

    packed: bool
    pad_id: int
    device: torch.device
    autocast: torch.dtype | None
    dtype: torch.dtype  # of the weights

    def batch(self, examples: Sequence[Example]) -> Batch:
        """Lay rows out on the device."""
        return pack(examples, self.device) if self.packed else pad(examples, self.device, self.pad_id)

    def precision(self) -> AbstractContextManager[Any]:
        """Surround a forward with the type it computes in."""
        return nullcontext() if self.autocast is None else torch.autocast(self.device.type, self.autocast)

    def describe(self) -> str:
        """Name what decides the last bits of a log-probability: the reference cache is keyed by it."""
        return f"{'packed' if self.packed else 'padded'} {self.device.type} {self.dtype} {self.autocast}"


def arrange(
    job: Job, model: nn.Module, tokenizer: Any, device: torch.device, autocast: torch.dtype | None
) -> Arrangement:
    """Choose a model's layout, and switch its attention to packed streams where they are chosen.

    Failure E605 where the spec asks for packed rows and the architecture refuses them.
    """
    asked = job.spec.train.layout
    possible = takes_packed(model)
    if asked == "packed" and not possible:
        raise Failure(
            "E605", f"{type(model).__name__} takes no packed batches", help="set `train.layout: auto`"
        )
    packed = asked == "packed" or (
        asked == "auto" and possible and job.spec.model.attn_implementation is None
    )
    if packed:
        use_packed(model)
    return Arrangement(packed, tokenizer.pad_token_id or 0, device, autocast, next(model.parameters()).dtype)


def totals_of(plan: Plan, examples: Sequence[Example]) -> dict[str, float]:
    """Count what the loss divides by over a whole global batch: rows, tokens of a response, sums of a column."""
    return {name: float(total(plan, name, examples)) for name in plan.totals}


def total(plan: Plan, name: str, examples: Sequence[Example]) -> float:
    """Count one total by its name: `rows`, `tokens/RESPONSE` or `column/NAME`."""
    kind, _, of = name.partition("/")
    if kind == "tokens":
        place = plan.responses.index(of)
        return sum(len(example.responses[place]) for example in examples)
    return sum(example.columns[of] for example in examples) if kind == "column" else len(examples)


def tokens_of(examples: Sequence[Example]) -> int:
    """Count the tokens of rows, a shared prompt once."""
    return sum(len(e.prompt) + sum(len(response) for response in e.responses) for e in examples)


def loss_inputs(
    plan: Plan, examples: Sequence[Example], batch: Batch, logps: Tensor, anchors: Anchors
) -> dict[str, Tensor]:
    """Name the tensors that the loss takes; log-probabilities and masks are [rows, T]."""
    inputs: dict[str, Tensor] = {}
    for place, name in enumerate(plan.responses):
        inputs[f"policy/{name}"] = logps[:, place]
        inputs[f"mask/{name}"] = batch.mask[:, place]
        for anchor in plan.anchors:
            rows = [anchors[anchor][example.row][place] for example in examples]
            inputs[f"{anchor}/{name}"] = stack(rows, logps.shape[2]).to(logps)
    for column in plan.columns:
        values = [example.columns[column] for example in examples]
        inputs[f"column/{column}"] = torch.tensor(values, dtype=torch.float64, device=logps.device)
    return inputs


def stack(rows: Sequence[np.ndarray], width: int) -> Tensor:
    """Put rows of different lengths into one tensor, zeros at the right."""
    whole = np.zeros((len(rows), width), dtype=rows[0].dtype)
    for line, row in zip(whole, rows, strict=True):
        line[: len(row)] = row
    return torch.from_numpy(whole)

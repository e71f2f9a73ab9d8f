"""A micro-batch: from rows to the tensors that the job's loss takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...contract.job import Job
from ...contract.models import POLICY
from ...contract.needs import LossNeeds
from ...contract.outputs import OUTPUTS, Per, Quantity
from ...contract.responses import COMPLETIONS
from ...contract.support import refusal
from ..data.example import Column, Example
from ..kernels.attention import causal_lm, use_packed
from ..kernels.heads import head_rule
from ..models.critic import critic_of, has_critic
from ..ranks.world import World
from .layout import Batch, pack, pad
from .probe import use
from .trust import trusted

__all__ = [
    "Anchors",
    "BatchLayout",
    "ScorerOutputs",
    "choose_layout",
    "found_of",
    "loss_inputs",
    "select_responses",
    "tokens_of",
    "totals_of",
]

Anchors = Mapping[str, Sequence[tuple[np.ndarray, ...]]]
"""For each anchor the log-probabilities of every row's responses, per token, by ``Example.row``."""


@dataclass(frozen=True)
class BatchLayout:
    """How rows become a batch, and in which type the model computes."""

    packed: bool
    pad_id: int
    device: torch.device
    autocast: torch.dtype | None
    dtype: torch.dtype  # of the weights
    whole: bool = False  # a reward model reads a response's last token too
    notes: tuple[str, ...] = ()  # what the probe found of the policy

    def batch(self, examples: Sequence[Example]) -> Batch:
        """Lay rows out on the device."""
        rows = [with_end(e) for e in examples] if self.whole else examples
        return pack(rows, self.device) if self.packed else pad(rows, self.device, self.pad_id)

    @property
    def computes_in(self) -> torch.dtype:
        """The type of the forward's matrix products."""
        return self.dtype if self.autocast is None else self.autocast

    def precision(self) -> AbstractContextManager[Any]:
        """Surround a forward with the type it computes in."""
        return nullcontext() if self.autocast is None else torch.autocast(self.device.type, self.autocast)

    def describe(self) -> str:
        """Name everything that decides the last bits of a log-probability: the reference cache is keyed by it."""
        return f"{'packed' if self.packed else 'padded'} {self.device.type} {self.dtype} {self.autocast}"


def choose_layout(
    job: Job,
    model: nn.Module,
    tokenizer: Any,
    device: torch.device,
    autocast: torch.dtype | None,
    *,
    rows: Sequence[Example] = (),
    world: World | None = None,
) -> BatchLayout:
    """Choose a model's layout after a probe, and switch its attention to packed streams where they are chosen.

    ``rows`` are some of the data. Failure E605 where the spec asks for packed rows and the model computes something
    else on them, E607 where no layout gives the model's own numbers.
    """
    asked, whole = job.spec.train.layout, Quantity.SCORE in job.needs.outputs
    packing = asked == "packed" or (asked == "auto" and job.spec.model.attn_implementation is None)
    verdict = trusted(model, rows, packing=packing, scalar=whole, world=world)
    packed, notes = packing and verdict.packed, verdict.notes
    if packed and has_critic(model):
        packed = trusted(critic_of(model), rows, scalar=True, world=world).packed
        notes = notes if packed else (*notes, f"{type(critic_of(model)).__name__}: its rows are padded")
    if asked == "packed" and not packed:
        raise refusal("packed_architecture").failure(model=type(causal_lm(model)).__name__)
    use(model, replace(verdict, packed=packed), scalar=whole)
    if packed and has_critic(model):
        use_packed(critic_of(model))
    dtype, pad_id = next(model.parameters()).dtype, tokenizer.pad_token_id or 0
    return BatchLayout(packed, pad_id, device, autocast, dtype, whole, notes)


def found_of(model: nn.Module, layout: BatchLayout) -> dict[str, Any]:
    """Say how a model is scored: how its rows are laid out, how its logits are made, and why."""
    base = causal_lm(model)
    rule = None if layout.whole else head_rule(base)
    return {
        "model": type(base).__name__,
        "layout": "packed" if layout.packed else "padded",
        "head": "scalar" if layout.whole else "own code" if rule is None else dataclasses.asdict(rule),
        "notes": list(layout.notes),
    }


def with_end(example: Example) -> Example:
    """Add a token at the end of each response: as a target alone it makes the last real token an input."""
    ended = tuple(np.append(response, response[-1]).astype(np.int32) for response in example.responses)
    return dataclasses.replace(example, responses=ended)


def totals_of(needs: LossNeeds, examples: Sequence[Example]) -> dict[str, float]:
    """Count the totals that the loss divides by, over a global batch: rows, tokens of a response, sums of a column."""
    return {name: float(total(needs, name, examples)) for name in needs.totals}


def total(needs: LossNeeds, name: str, examples: Sequence[Example]) -> float:
    """Count one total by its name: `rows`, `tokens/RESPONSE` or `column/NAME`."""
    kind, _, of = name.partition("/")
    if kind == "tokens":
        if of == COMPLETIONS:
            return sum(len(response) for example in examples for response in example.responses)
        place = needs.responses.index(of)
        return sum(len(example.responses[place]) for example in examples)
    if kind == "column":
        numbers = [example.columns[of] for example in examples]
        return sum(x for x in numbers if not isinstance(x, tuple))
    return len(examples)


def tokens_of(examples: Sequence[Example]) -> int:
    """Count the tokens of rows, a shared prompt once."""
    return sum(len(e.prompt) + sum(len(response) for response in e.responses) for e in examples)


ScorerOutputs = Tensor | Mapping[str, Tensor]
"""The outputs of a scorer: log-probabilities [rows, k, T] alone, or several outputs by name."""


def select_responses(needs: LossNeeds, examples: Sequence[Example], names: Sequence[str]) -> list[Example]:
    """Keep some of the rows' responses, those that a pass has to score."""
    if list(names) == list(needs.responses) or needs.grouped:
        return list(examples)
    places = [needs.responses.index(name) for name in names]
    return [dataclasses.replace(e, responses=tuple(e.responses[p] for p in places)) for e in examples]


OF_PROMPTS = frozenset(name for name, row in OUTPUTS.items() if row.per == Per.PROMPT)


def loss_inputs(
    needs: LossNeeds,
    examples: Sequence[Example],
    batch: Batch,
    scored: ScorerOutputs,
    anchors: Anchors,
    names: Sequence[str] | None = None,
) -> dict[str, Tensor]:
    """Name the tensors that the loss takes; log-probabilities and masks are [rows, T], of a group [rows, k, T].

    ``names`` are the responses that the batch holds, all of the needs where left out.
    """
    outputs = scored if isinstance(scored, Mapping) else {"logps": scored}
    group = needs.grouped
    device = batch.mask.device
    inputs: dict[str, Tensor] = {name: outputs[name] for name in OF_PROMPTS if name in outputs}
    for at, name in enumerate(names or needs.responses):
        which = slice(None) if group else at
        inputs[f"mask/{name}"] = batch.mask[:, which]
        for quantity in outputs.keys() - OF_PROMPTS:
            kind = POLICY if quantity == "logps" else quantity
            inputs[f"{kind}/{name}"] = outputs[quantity][:, which]
        place = needs.responses.index(name)
        for anchor in needs.anchors:
            rows = [anchors[anchor][example.row] for example in examples]
            logps = (
                stack_groups(rows, batch.mask)
                if group
                else stack([r[place] for r in rows], batch.mask.shape[2])
            )
            inputs[f"{anchor}/{name}"] = logps.to(outputs["logps"])
    for column in (*needs.columns, *needs.token_columns):
        values = [e.columns[column] for e in examples]
        inputs[f"column/{column}"] = column_tensor(values, batch.mask).to(device)
    return inputs


def column_tensor(values: Sequence[Column], mask: Tensor) -> Tensor:
    """Put a column into a tensor of float64: [rows]; of groups [rows, k]; of tokens [rows, k, T], as ``mask`` is.

    Zeros stand where a group has fewer responses, or a response fewer tokens.
    """
    first = values[0]
    if not isinstance(first, tuple):
        return torch.tensor(values, dtype=torch.float64)
    if isinstance(first[0], np.ndarray):
        groups: list[Any] = list(values)
        return stack_groups(groups, mask).double()
    rows = [np.array(value, dtype=np.float64) for value in values]
    return stack(rows, max(len(row) for row in rows))


def stack_groups(rows: Sequence[tuple[np.ndarray, ...]], mask: Tensor) -> Tensor:
    """Put groups of rows of different lengths into one tensor [rows, k, T]."""
    whole = torch.zeros(mask.shape, dtype=torch.from_numpy(rows[0][0]).dtype)
    for line, group in zip(whole, rows, strict=True):
        line[: len(group)] = stack(group, mask.shape[2])
    return whole


def stack(rows: Sequence[np.ndarray], width: int) -> Tensor:
    """Put rows of different lengths into one tensor, zeros at the right."""
    whole = np.zeros((len(rows), width), dtype=rows[0].dtype)
    for line, row in zip(whole, rows, strict=True):
        line[: len(row)] = row
    return torch.from_numpy(whole)

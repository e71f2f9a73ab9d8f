"""Statistics of a global batch: numbers that couple its rows, computed first and without gradient.

A loss whose rows read other rows (KTO's reference point, BCO's running mean, a sort over the batch) gets them as
numbers: one pass scores what they need over the whole global batch, on all ranks, and the loss's own pass then
takes rows micro-batch by micro-batch. The result does not depend on how the batch is split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..data.example import Example
from .context import Context
from .micro import loss_inputs, select_responses
from .objective import RowStatistics, SourceBatch

__all__ = ["NO_STATISTICS", "BatchStatistics", "RunningSums", "batch_statistics"]

RunningSums = Mapping[str, list[float]] | None
"""The sum and the count of every running mean so far. Where a job has several sources, names are `SOURCE/NAME`."""


@dataclass(frozen=True)
class BatchStatistics:
    """The statistics of a global batch: one number each, or one a row."""

    values: Mapping[str, Tensor] = field(default_factory=dict)

    def of_rows(self, rows: Sequence[int], device: torch.device) -> dict[str, Tensor]:
        """Name them as the loss does, for the rows at some places of the global batch."""
        return {
            f"statistic/{name}": (value if value.dim() == 0 else value[list(rows)]).to(device)
            for name, value in self.values.items()
        }


NO_STATISTICS = BatchStatistics()


def batch_statistics(
    context: Context,
    batch: SourceBatch,
    pieces: Sequence[Sequence[int]],
    scorer: nn.Module,
    running: RunningSums,
    *,
    update: bool = True,
) -> tuple[BatchStatistics, RunningSums]:
    """Compute the statistics of a global batch, of which this rank scores the rows of its ``pieces``.

    Running means also take ``running``, which is given back with this batch added; without ``update`` they are what
    it says. A rank that still computes counts as alive.
    """
    objective = batch.objective
    if objective.statistics is None:
        return NO_STATISTICS, running
    kinds, before = objective.needs.statistics, own_sums(objective.source, running)
    columns = row_values(context, batch, objective.statistics, pieces, scorer)
    after = {n: add_batch(columns[n], (before or {}).get(n)) for n, k in kinds.items() if k == "running"}
    used = after if update else dict(before or after)
    values = {name: reduce_rows(kind, columns[name], used.get(name)) for name, kind in kinds.items()}
    return BatchStatistics(values), merged(objective.source, running, after) if update else running


def own_sums(source: int, running: RunningSums) -> RunningSums:
    """Pick the running sums of one source."""
    if not source:
        return running
    head = f"{source}/"
    return {n.removeprefix(head): value for n, value in (running or {}).items() if n.startswith(head)} or None


def merged(source: int, running: RunningSums, own: Mapping[str, list[float]]) -> RunningSums:
    """Put the running sums of one source back among those of all."""
    if not source:
        return dict(own)
    return {**(running or {}), **{f"{source}/{name}": value for name, value in own.items()}}


def row_values(
    context: Context,
    batch: SourceBatch,
    statistics: RowStatistics,
    pieces: Sequence[Sequence[int]],
    scorer: nn.Module,
) -> dict[str, Tensor]:
    """Compute the row values of each statistic over the global batch ``[rows, 1]`` or ``[rows, 2]``, on every rank.

    Each rank fills the lines of its own rows; the sum over the ranks is the whole table.
    """
    widths = {name: 2 if kind == "matched" else 1 for name, kind in batch.objective.needs.statistics.items()}
    table = torch.zeros(len(batch.rows), sum(widths.values()), dtype=torch.float64)
    for piece in pieces:
        rows = [batch.rows[place] for place in piece] or [batch.rows[0]]
        values = score_statistics(context, batch, statistics, rows, scorer)
        context.run.pulse.beat()
        if piece:
            table[list(piece)] = torch.cat([values[n].reshape(len(rows), -1) for n in widths], 1).cpu()
    columns = context.world.sum(table).cpu().split(list(widths.values()), 1)
    return dict(zip(widths, columns, strict=True))


def score_statistics(
    context: Context,
    batch: SourceBatch,
    statistics: RowStatistics,
    rows: Sequence[Example],
    scorer: nn.Module,
) -> dict[str, Tensor]:
    """Score the responses that the statistics need, without dropout: through it they would depend on the split."""
    needs, layout = batch.objective.needs, context.layout
    names = needs.statistic_responses
    inputs = layout.batch(select_responses(needs, rows, names))
    training = scorer.training
    scorer.eval()
    try:
        with torch.no_grad(), layout.precision():
            outputs = scorer(inputs)
            return statistics(loss_inputs(needs, rows, inputs, outputs, batch.anchors, names))
    finally:
        scorer.train(training)


def add_batch(values: Tensor, before: Sequence[float] | None) -> list[float]:
    """Add a batch to the sum and the count of a running mean."""
    total, count = before or (0.0, 0.0)
    return [total + float(values.sum()), count + len(values)]


def reduce_rows(kind: str, values: Tensor, running: Sequence[float] | None) -> Tensor:
    """Make a statistic of its row values: a mean, the running mean, or values matched by rank."""
    if kind == "running" and running is not None:
        return torch.tensor(running[0] / running[1], dtype=torch.float64)
    if kind == "matched":
        return matched(values[:, 0], values[:, 1])
    return values.mean()


def matched(values: Tensor, like: Tensor) -> Tensor:
    """Give each row the value whose rank is that of the row's ``like``; ties go by place.

    values 5, 1, 3 and like 20, 30, 10: ``like`` has the ranks 1, 2, 0, the sorted values are 1, 3, 5, so the rows
    get 3, 5, 1.
    """
    by_rank = torch.empty_like(values)
    by_rank[torch.argsort(like, stable=True)] = torch.sort(values, stable=True).values
    return by_rank

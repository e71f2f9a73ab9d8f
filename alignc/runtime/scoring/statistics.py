"""What couples the rows of a global batch: statistics, computed first and without gradient.

A loss whose rows read other rows (KTO's reference point, BCO's running mean, a sort over the batch) gets them as
numbers: one pass scores what they need over the whole global batch, on all ranks, and the loss's own pass then
takes rows micro-batch by micro-batch. The result does not depend on how the batch is split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ...contract.job import Plan
from ..data.example import Example
from ..ranks.world import World
from .micro import Anchors, BatchLayout, loss_inputs, select_responses

__all__ = ["NOTHING", "Known", "RowStatistics", "Seen", "statistics_of"]

RowStatistics = Callable[[dict[str, Tensor]], dict[str, Tensor]]
"""`loss.py`'s: the row values [rows] (or [rows, 2]) of each statistic of a micro-batch."""
Seen = Mapping[str, list[float]] | None
"""The sum and the count of every running mean so far."""


@dataclass(frozen=True)
class Known:
    """The statistics of a global batch: one number each, or one a row."""

    values: Mapping[str, Tensor] = field(default_factory=dict)

    def of(self, places: Sequence[int], device: torch.device) -> dict[str, Tensor]:
        """Name them as the loss does, for the rows at some places of the global batch."""
        return {
            f"statistic/{name}": (value if value.dim() == 0 else value[list(places)]).to(device)
            for name, value in self.values.items()
        }


NOTHING = Known()


def statistics_of(
    plan: Plan,
    rows_of: RowStatistics,
    examples: Sequence[Example],
    mine: Sequence[Sequence[int]],
    scorer: nn.Module,
    layout: BatchLayout,
    anchors: Anchors,
    world: World,
    seen: Seen,
    *,
    each: Callable[[], object],
    learning: bool = True,
) -> tuple[Known, Seen]:
    """Compute the statistics of a global batch of ``examples``, of which this rank scores the places ``mine``.

    Running means also take ``seen``; while ``learning`` they are given back with this batch added. ``each`` is
    called after every micro-batch: a rank that still computes does not hang.
    """
    wide = {name: 2 if kind == "matched" else 1 for name, kind in plan.statistics.items()}
    table = torch.zeros(len(examples), sum(wide.values()), dtype=torch.float64)
    for places in mine:
        taken = [examples[p] for p in places] or [examples[0]]
        found = row_values(plan, rows_of, taken, scorer, layout, anchors)
        each()
        if places:
            table[list(places)] = torch.cat([found[n].reshape(len(taken), -1) for n in wide], 1).cpu()
    columns = dict(zip(wide, world.sum(table).cpu().split(list(wide.values()), 1), strict=True))
    after = {
        n: added(columns[n], (seen or {}).get(n)) for n, kind in plan.statistics.items() if kind == "running"
    }
    used = after if learning else dict(seen or after)
    values = {n: settled(kind, columns[n], used.get(n)) for n, kind in plan.statistics.items()}
    return Known(values), after if learning else seen


def row_values(
    plan: Plan,
    rows_of: RowStatistics,
    examples: Sequence[Example],
    scorer: nn.Module,
    layout: BatchLayout,
    anchors: Anchors,
) -> dict[str, Tensor]:
    """Score what the statistics need of some rows, without dropout: they would depend on the split through it."""
    names = plan.statistic_responses
    batch = layout.batch(select_responses(plan, examples, names))
    training = scorer.training
    scorer.eval()
    try:
        with torch.no_grad(), layout.precision():
            found = scorer(batch)
            return rows_of(loss_inputs(plan, examples, batch, found, anchors, names))
    finally:
        scorer.train(training)


def added(values: Tensor, before: Sequence[float] | None) -> list[float]:
    """Add a batch to a running mean's sum and count."""
    total, count = before or (0.0, 0.0)
    return [total + float(values.sum()), count + len(values)]


def settled(kind: str, values: Tensor, running: Sequence[float] | None) -> Tensor:
    """Make a statistic of its row values: a mean, the running mean, or values matched by rank."""
    if kind == "running" and running is not None:
        return torch.tensor(running[0] / running[1], dtype=torch.float64)
    if kind == "matched":
        return matched(values[:, 0], values[:, 1])
    return values.mean()


def matched(values: Tensor, like: Tensor) -> Tensor:
    """Give each row the value whose rank is that of the row's ``like``; ties go by place."""
    found = torch.empty_like(values)
    found[torch.argsort(like, stable=True)] = torch.sort(values, stable=True).values
    return found

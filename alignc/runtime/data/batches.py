"""Which rows a step takes: a pure function of (seed, epoch, step), so that resuming needs only integers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...contract.job import Train
from ..base.seeds import derive, permutation

__all__ = ["RowOrder", "micro_batches", "row_order"]


@dataclass(frozen=True)
class RowOrder:
    """The order of the rows: ``rows`` in all, ``size`` of them a step over all ranks and micro-batches."""

    rows: int
    size: int
    seed: int
    total_steps: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps in a pass over the data; the last one may be short."""
        return math.ceil(self.rows / self.size)

    def epoch_after(self, step: int) -> float:
        """Passes over the data that are done after a step."""
        epoch, index = divmod(step, self.steps_per_epoch)
        return epoch + index * self.size / self.rows

    def batch(self, step: int) -> list[int]:
        """List the rows of a step (from 1)."""
        epoch, index = divmod(step - 1, self.steps_per_epoch)
        order = permutation(self.rows, derive(self.seed, "order", epoch))
        return [int(row) for row in order[index * self.size : (index + 1) * self.size]]


def row_order(train: Train, rows: int, world: int, max_steps: int | None = None) -> RowOrder:
    """Build the order of a job's rows. ``max_steps`` above 0 wins over ``num_train_epochs``."""
    size = train.per_device_train_batch_size * train.gradient_accumulation_steps * world
    by_epochs = math.ceil(train.num_train_epochs * math.ceil(rows / size))
    total = max_steps or (train.max_steps if train.max_steps > 0 else max(1, by_epochs))
    return RowOrder(rows=rows, size=size, seed=train.seed, total_steps=total)


def micro_batches(rows: Sequence[int], size: int, rank: int, world: int) -> list[list[int]]:
    """Split a step's rows: micro-batch m of rank r is ``rows[(m*world + r)*size :][:size]``.

    Every rank gets the same number of micro-batches; where rows run out a rank's micro-batch is empty.
    """
    count = math.ceil(len(rows) / (size * world))
    starts = [(m * world + rank) * size for m in range(count)]
    return [list(rows[start : start + size]) for start in starts]

"""Which rows a step takes: a pure function of (seed, epoch, step), so that resuming needs only integers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ...contract.job import Train
from ...contract.schedule import RowSteps, row_steps, rows_per_step
from ..base.seeds import derive, permutation

__all__ = ["RowOrder", "micro_batches", "row_order"]


@dataclass(frozen=True)
class RowOrder(RowSteps):
    """The steps over the rows, and their order, which the ``seed`` decides."""

    seed: int

    def batch(self, step: int) -> list[int]:
        """List the rows of a step (from 1)."""
        epoch, index = divmod(step - 1, self.steps_per_epoch)
        order = _order(self.rows, self.seed, epoch)
        return [int(row) for row in order[index * self.size : (index + 1) * self.size]]


@lru_cache(maxsize=4)  # the epochs of a few sources at a time
def _order(rows: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return permutation(rows, derive(seed, "order", epoch))


def row_order(train: Train, rows: int, world: int, max_steps: int | None = None) -> RowOrder:
    """Build the order of a job's rows. ``max_steps`` above 0 wins over ``num_train_epochs``."""
    size = rows_per_step(train.per_device_train_batch_size, train.gradient_accumulation_steps, world)
    limit = max_steps or (train.max_steps if train.max_steps > 0 else None)
    return RowOrder(
        **vars(row_steps(rows, size, epochs=train.num_train_epochs, limit=limit)), seed=train.seed
    )


def micro_batches(rows: Sequence[int], size: int, rank: int, world: int) -> list[list[int]]:
    """Split a step's rows: micro-batch m of rank r is ``rows[(m*world + r)*size :][:size]``.

    Every rank gets the same number of micro-batches; where rows run out a rank's micro-batch is empty.
    """
    count = math.ceil(len(rows) / (size * world))
    starts = [(m * world + rank) * size for m in range(count)]
    return [list(rows[start : start + size]) for start in starts]

"""Which rows a step trains on, as pure functions: a resumed run needs no state but its step."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rows", "epoch_order", "global_batch", "micro_batch", "steps_per_epoch"]

Rows = NDArray[np.int64]


def steps_per_epoch(n_rows: int, size: int) -> int:
    """Return how many global batches of ``size`` rows an epoch has; the last may be short."""
    return -(-n_rows // size)


@lru_cache(maxsize=2)
def epoch_order(n_rows: int, seed: int, epoch: int) -> Rows:
    """Return a permutation of the rows, keyed by (seed, epoch); read-only, for it is kept.

    Sorts Philox's raw output, whose stream NumPy guarantees across versions and machines.
    """
    key = int.from_bytes(sha256(f"order:{seed}:{epoch}".encode()).digest()[:16])
    draws = np.random.Philox(key=key).random_raw(n_rows)
    order = np.argsort(draws, kind="stable").astype(np.int64)
    order.setflags(write=False)
    return order


def global_batch(n_rows: int, size: int, seed: int, epoch: int, step: int) -> Rows:
    """Return the rows of the epoch's batch number ``step`` (from 0), over all ranks and micro-batches."""
    return epoch_order(n_rows, seed, epoch)[step * size : (step + 1) * size]


def micro_batch(rows: Rows, size: int, world: int, rank: int, index: int) -> Rows:
    """Return what a rank's micro-batch ``index`` takes of a global batch: up to ``size`` rows, maybe none."""
    start = (index * world + rank) * size
    return rows[start : start + size]

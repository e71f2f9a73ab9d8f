from __future__ import annotations

import numpy as np
import pytest

from alignc.runtime.base.seeds import derive, permutation
from alignc.runtime.data.batches import RowOrder, micro_batches


def test_an_epoch_visits_every_row_once_and_the_last_batch_may_be_short():
    sampler = RowOrder(rows=10, size=4, seed=3, total_steps=6)
    first = [sampler.batch(step) for step in (1, 2, 3)]
    assert [len(batch) for batch in first] == [4, 4, 2]
    assert sorted(row for batch in first for row in batch) == list(range(10))
    second = [sampler.batch(step) for step in (4, 5, 6)]
    assert sorted(row for batch in second for row in batch) == list(range(10))
    assert first != second


def test_epoch_after_counts_rows():
    sampler = RowOrder(rows=10, size=4, seed=3, total_steps=6)
    assert [sampler.epoch_after(step) for step in (1, 2, 3, 4)] == [0.4, 0.8, 1.0, 1.4]


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_micro_batches_of_all_ranks_partition_the_batch(world: int, size: int):
    rows = list(range(100, 111))
    shares = [micro_batches(rows, size, rank, world) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    assert sorted(row for share in shares for micro in share for row in micro) == rows
    assert shares[0][0] == rows[:size]


def test_permutation_is_stable_over_versions():
    assert permutation(8, 42).tolist() == np.argsort(np.random.Philox(key=42).random_raw(8)).tolist()
    assert permutation(6, 7).tolist() == [4, 1, 3, 2, 5, 0]


def test_derive_tells_purposes_apart():
    seeds = {
        derive(1, "order", 0),
        derive(1, "order", 1),
        derive(1, "init"),
        derive(2, "order", 0),
        derive(1, "order", "0"),
    }
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)

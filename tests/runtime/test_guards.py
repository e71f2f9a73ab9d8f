from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from alignc.contract.failure import Failure
from alignc.runtime.data.example import Example
from alignc.runtime.ranks.world import World
from alignc.runtime.train.guards import check_finite, check_step0, evidence_of, some, tolerance

WORLD = World(0, 1, torch.device("cpu"))


def example(row: int) -> Example:
    ids = np.array([1, 2], dtype=np.int32)
    return Example(row, f"pairs.jsonl:{row + 1}", ids, (ids,))


def evidence(bad: int | None, share: float):
    logps = torch.zeros(2, 1, 3)
    if bad is not None:
        logps[bad, 0, 1] = math.nan
    return evidence_of([example(0), example(1)], logps, torch.tensor(share))


def test_finite_numbers_pass():
    check_finite({"loss": 1.0}, 2.0, [evidence(None, 1.0)], 1, WORLD)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_row_is_named(value: float):
    with pytest.raises(Failure) as caught:
        check_finite({"loss": value}, 1.0, [evidence(None, 1.0), evidence(1, value)], 7, WORLD)
    assert caught.value.code == "E801"
    assert caught.value.exit_code == 4
    assert "step 7" in caught.value.message
    assert str(value) in caught.value.message
    assert caught.value.why == "the cause is in pairs.jsonl:2"


def test_a_bad_share_of_good_rows_names_its_micro_batch():
    with pytest.raises(Failure) as caught:
        check_finite({"loss": math.inf}, 1.0, [evidence(None, math.inf)], 7, WORLD)
    assert caught.value.why == "the cause is in pairs.jsonl:1, pairs.jsonl:2"


def test_a_bad_gradient_names_the_steps_rows():
    with pytest.raises(Failure, match="gradient norm is nan") as caught:
        check_finite({"loss": 1.0}, math.nan, [evidence(None, 1.0)], 7, WORLD)
    assert caught.value.why == "the step used pairs.jsonl:1, pairs.jsonl:2"


def test_many_names_are_counted():
    assert some([str(n) for n in range(10)]) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more rows"


def test_step0_within_tolerance():
    check_step0({"loss": math.log(2) + 5e-4}, {"loss": math.log(2), "absent": 1.0}, torch.float32)


@pytest.mark.parametrize("value", [0.70, math.nan])
def test_step0_off(value: float):
    with pytest.raises(Failure, match=r"E802: step 1: loss is .*, not 0.693147"):
        check_step0({"loss": value}, {"loss": math.log(2)}, torch.float32)


def test_tolerance_widens_with_the_type():
    assert tolerance(torch.float64) < tolerance(torch.float32) < tolerance(torch.bfloat16)

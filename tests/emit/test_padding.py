"""Groups of unequal size: every response is judged as if its group stood alone, and no place without one breaks it."""

from __future__ import annotations

from typing import Any

import pytest

from ..objectives.tensors import emitted_gaps
from ..variants import of_spec

LINKS = ("squared", "logistic", "exponential", "sqrt(1+z**2)-z", "exp(-z)-1+z")
ODDS = {"of": "log_odds", "reduce": "mean", "beta": 0.5}
MEAN = {"of": "log_prob", "reduce": "mean", "beta": 0.5}


def pairs(**axes: Any) -> dict[str, Any]:
    return {"terms": [{"name": "p", "kind": "preference", "pairs": "all", "link": "squared", **axes}]}


def single(**axes: Any) -> dict[str, Any]:
    return {"terms": [{"name": "p", "kind": "pointwise", "direction": "up", **axes}]}


REWARD = {"kind": "reward"}
OBJECTIVES = [
    pairs(score=ODDS, margin={"kind": "reward_gap"}),
    pairs(score=ODDS),
    pairs(score={**MEAN, "transform": "1/(x-1)"}),
    pairs(score={**MEAN, "transform": "log(-x)"}),
    pairs(score={**MEAN, "transform": "sqrt(-x)"}),
    pairs(score={"of": "f_ratio", "divergence": "alpha"}),
    *(single(score=ODDS, link=link, target=REWARD) for link in LINKS),
    *(single(score=MEAN, link=link, reference_point={"kind": "running_mean"}) for link in LINKS),
]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_a_group_is_as_if_it_were_alone(objective: dict[str, Any]) -> None:
    made = of_spec(objective, "scored")
    assert [line for seed in range(3) for line in emitted_gaps(made, seed)] == []

"""Verifiers, columns, and weighted sums."""

from __future__ import annotations

from typing import Any

import pytest

from alignc.contract.failure import Failure
from alignc.runtime.reward import Sample, build_reward


def values(config: Any, *samples: Sample) -> list[float]:
    with build_reward(config, allowed=[], device="cpu") as reward:
        return reward(samples).values


def verifier(name: str, **parameters: Any) -> dict[str, Any]:
    return {"kind": "verifier", "name": name, "weight": 1.0, **parameters}


def sample(completion: str, **fields: Any) -> Sample:
    return Sample("p", completion, "rows.jsonl:7", 1, fields)


@pytest.mark.parametrize(
    ("config", "completion", "fields", "score"),
    [
        (verifier("exact_number", answer="answer"), "it is 1,200", {"answer": "#### 1200"}, 1.0),
        (verifier("exact_number", answer="answer"), "7", {"answer": 7}, 1.0),
        (verifier("exact_number", answer="gold.value"), "7", {"gold": {"value": 8}}, 0.0),
        (verifier("exact_match", answer="answer"), " yes ", {"answer": "yes"}, 1.0),
        (verifier("regex", pattern=r"^\d+$"), "12", {}, 1.0),
        (verifier("regex", pattern=r"^\d+$"), "12a", {}, 0.0),
        (verifier("length", limit=3), "123", {}, 1.0),
        (verifier("length", limit=3), "1234", {}, 0.0),
        (verifier("json", answer=None), "[1, 2", {"answer": "[]"}, 0.0),
        (verifier("json", answer=None), "[1, 2]", {"answer": "[]"}, 1.0),
        (verifier("json", answer="answer"), "[1, 2]", {"answer": "[]"}, 0.0),
        ({"kind": "column", "name": "quality"}, "x", {"quality": -2}, -2.0),
        ({"kind": "column", "name": "quality", "weight": 0.5}, "x", {"quality": 3}, 1.5),
    ],
)
def test_text_and_row_decide(config: Any, completion: str, fields: dict[str, Any], score: float):
    assert values(config, sample(completion, **fields)) == [score]


@pytest.mark.parametrize(
    ("config", "fields", "code"),
    [
        (verifier("exact_number", answer="answer"), {"response": 1}, "E701"),
        (verifier("exact_number", answer="answer"), {"answer": [1]}, "E702"),
        ({"kind": "column", "name": "quality"}, {}, "E701"),
        ({"kind": "column", "name": "quality"}, {"quality": "high"}, "E702"),
        ({"kind": "column", "name": "quality"}, {"quality": float("nan")}, "E702"),
        ({"kind": "column", "name": "quality"}, {"quality": 10**400}, "E702"),
    ],
)
def test_a_row_that_lacks_what_is_needed_is_named(config: Any, fields: dict[str, Any], code: str):
    with pytest.raises(Failure) as caught:
        values(config, sample("x", **fields))
    assert (caught.value.code, caught.value.file, caught.value.line) == (code, "rows.jsonl", 7)
    assert "rows.jsonl:7, sample 1" in caught.value.message


def test_a_list_is_a_weighted_sum_with_its_parts():
    reward = build_reward(
        [
            verifier("exact_number", answer="answer", weight=2.0),
            verifier("length", limit=2, weight=-0.5),
            {"kind": "column", "name": "bonus", "weight": 1.0},
            verifier("length", limit=1, weight=0.25),
        ],
        allowed=[],
        device="cpu",
    )
    scores = reward([sample("42", answer="42", bonus=0.125), sample("7", answer="42", bonus=1)])
    assert scores.parts == {
        "exact_number": [1.0, 0.0],
        "length": [1.0, 1.0],
        "bonus": [0.125, 1.0],
        "length#2": [0.0, 1.0],
    }
    assert scores.values == [2.0 - 0.5 + 0.125, -0.5 + 1.0 + 0.25]


def test_permissions_come_before_anything_is_loaded():
    configs = [
        {"kind": "model", "path": "/no/such/folder"},
        {"kind": "function", "name": "a:b", "timeout": 1.0},
    ]
    with pytest.raises(Failure) as caught:
        build_reward(configs, allowed=[], device="cpu")
    assert caught.value.code == "E610"

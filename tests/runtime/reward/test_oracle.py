"""Oracles: by rewards, by a function of two responses; and the win rates that follow."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from alignc.contract.environment import FOLDERS
from alignc.contract.failure import Failure
from alignc.runtime.reward import Oracle, Sample, build_oracle, win_rates


@pytest.fixture(autouse=True)
def _beside_the_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDERS, str(Path(__file__).parent))


def oracle(config: dict[str, Any], *allowed: str) -> Oracle:
    return build_oracle(config, allowed=allowed, device="cpu")


def of_function(name: str, both_orders: bool = False) -> Oracle:
    config = {"kind": "function", "name": f"judges:{name}", "timeout": 1.0, "both_orders": both_orders}
    return oracle(config, f"judges:{name}")


def group(*texts: str, row: int = 1, **fields: Any) -> list[Sample]:
    return [Sample("p", text, f"rows.jsonl:{row}", n, fields) for n, text in enumerate(texts)]


def test_bradley_terry_of_a_reward():
    config = {
        "kind": "bradley_terry",
        "reward": [{"kind": "column", "name": "r", "weight": 2.0}],
        "scale": 0.5,
    }
    a, b = Sample("p", "a", fields={"r": 1.0}), Sample("p", "b", fields={"r": -2.0})
    found = oracle(config)([(a, b), (b, a), (a, a)])
    assert found == pytest.approx([1 / (1 + math.exp(-3)), 1 / (1 + math.exp(3)), 0.5], rel=1e-15)


def test_a_source_alone_is_read_through_bradley_and_terry():
    config = {"kind": "verifier", "name": "length", "limit": 1, "weight": 3.0}
    (a, b), far = group("a", "bb"), {"kind": "column", "name": "r", "weight": 1.0}
    assert oracle(config)([(a, b)]) == pytest.approx([1 / (1 + math.exp(-3))], rel=1e-15)
    high, low = Sample("p", "", fields={"r": 1e300}), Sample("p", "", fields={"r": -1e300})
    assert oracle(far)([(high, low), (low, high)]) == [1.0, 0.0]


def test_an_intransitive_function():
    with of_function("game") as judge:
        rock, paper, scissors = group("rock", "paper", "scissors")
        assert judge([(paper, rock), (scissors, paper), (rock, scissors), (rock, paper)]) == [1, 1, 1, 0]
        assert win_rates(judge, [[rock, paper, scissors]]) == [[0.5, 0.5, 0.5]]


def test_win_rates_count_a_draw_with_oneself():
    """(½ + ½ + 0)/3, (½ + ½ + 0)/3, (½ + 1 + 1)/3 of two rocks and a paper; one alone has ½; none, none."""
    with of_function("game") as judge:
        groups = [group("rock", "rock", "paper"), group("rock", row=2), []]
        rates = win_rates(judge, groups)
    assert rates[0] == pytest.approx([1 / 3, 1 / 3, 2.5 / 3])
    assert rates[1:] == [[0.5], []]


def test_each_pair_is_asked_once_in_one_call():
    calls: list[list[tuple[str, str]]] = []

    def judge(pairs: Any) -> list[float]:
        calls.append([(a.completion, b.completion) for a, b in pairs])
        return [0.25] * len(pairs)

    assert win_rates(judge, [group("a", "b", "c"), group("d", "e")])[1] == pytest.approx([0.375, 0.625])
    assert calls == [[("a", "b"), ("a", "c"), ("b", "c"), ("d", "e")]]


def test_both_orders_take_a_preference_for_the_first_place_away():
    """0.9 for a longer first, 0.3 for a shorter one: (0.9 + 1 − 0.3)/2 = 0.8, and 0.5 between equals."""
    (long, short), (same, other) = group("long", "s"), group("x", "y")
    with of_function("prefers_first") as judge:
        assert judge([(long, short), (short, long), (same, other)]) == [0.9, 0.3, 0.9]
    with of_function("prefers_first", both_orders=True) as judge:
        assert judge([(long, short), (short, long), (same, other)]) == pytest.approx([0.8, 0.2, 0.5])


def test_what_is_no_probability_names_its_pair():
    odd, even = group("odd", "even")
    with of_function("beyond") as judge, pytest.raises(Failure) as caught:
        judge([(even, odd), (odd, even)])
    assert caught.value.code == "E809"
    assert caught.value.message == (
        "the oracle function `judges:beyond` returned 1.25, which is not a probability (rows.jsonl:1, samples 0 and 1)"
    )
    assert caught.value.why == "the responses are 'odd' and 'even'"


def test_an_oracle_needs_permission_too():
    config = {"kind": "function", "name": "judges:game", "timeout": 1.0, "both_orders": False}
    with pytest.raises(Failure) as caught:
        oracle(config, "judges:beyond")
    assert caught.value.code == "E610"
    inner = {"kind": "http", "url": "http://localhost:1/x", "timeout": 1.0, "retries": 0}
    with pytest.raises(Failure) as caught:
        oracle({"kind": "bradley_terry", "reward": inner, "scale": 1.0})
    assert caught.value.code == "E611"

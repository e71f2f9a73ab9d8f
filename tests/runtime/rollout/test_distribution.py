from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers.generation.logits_process import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from alignc.contract.failure import Failure
from alignc.runtime.samplers.distribution import draw, nucleus, weights
from alignc.runtime.samplers.sampling import Sampling, uniforms


def inverse(probabilities: list[float], number: float) -> int:
    """The first word at which the running sum exceeds the number."""
    total = 0.0
    for word, share in enumerate(probabilities):
        total += share
        if total > number:
            return word
    raise AssertionError


def test_a_draw_inverts_the_distribution_function():
    distribution = [0.125, 0.0, 0.5, 0.25, 0.125, 0.0]
    numbers = torch.tensor([1e-9, 0.1249, 0.125, 0.6249, 0.625, 0.8749, 0.875, 1 - 2.0**-53])
    tokens, logps = draw(torch.tensor([distribution] * 8).double() * 7, numbers.double())
    assert tokens.tolist() == [0, 0, 2, 2, 3, 3, 4, 4]
    torch.testing.assert_close(logps.exp(), torch.tensor(distribution).double()[tokens])


def test_the_search_through_blocks_finds_what_a_running_sum_finds():
    draws = np.random.default_rng(0)
    distribution = draws.exponential(size=700) * (draws.random(700) < 0.3)
    numbers = draws.random(400)
    tokens, _ = draw(torch.tensor(distribution).expand(400, -1), torch.tensor(numbers))
    exact = (distribution / distribution.sum()).tolist()
    assert tokens.tolist() == [inverse(exact, number) for number in numbers]


def test_no_word_without_weight_is_drawn():
    distribution = torch.zeros(3, 600, dtype=torch.float64)
    distribution[0, 599] = distribution[1, 0] = distribution[2, 300] = 1e-300
    for number in (2.0**-54, 0.5, 1 - 2.0**-54):
        assert draw(distribution, torch.full((3,), number, dtype=torch.float64))[0].tolist() == [599, 0, 300]


def test_temperature_divides_the_logits():
    logits = torch.tensor([[1.0, 3.0, -2.0]])
    distribution = weights(logits, 0.5, 1.0)
    torch.testing.assert_close(distribution / distribution.sum(), (logits.double() * 2).softmax(1))


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.4, [1]), (0.49, [1]), (0.51, [1, 3]), (0.74, [1, 3]), (0.76, [0, 1, 3]), (1.0, [0, 1, 2, 3])],
)
def test_the_nucleus_is_the_fewest_likely_words_that_reach_the_share(top_p: float, kept: list[int]):
    distribution = torch.tensor([[0.1875, 0.5, 0.0625, 0.25]]).double() * 4
    assert nucleus(distribution, top_p)[0].nonzero()[:, 0].tolist() == kept
    left = weights(distribution.log(), 1.0, top_p)[0]
    assert left.nonzero()[:, 0].tolist() == kept
    expected = distribution[0, kept] / distribution[0, kept].sum()
    torch.testing.assert_close(left[kept] / left.sum(), expected)


def test_a_share_that_is_reached_exactly_is_enough():
    assert nucleus(torch.tensor([[1.0, 2.0, 1.0]]).double(), 0.5)[0].tolist() == [False, True, False]


def test_of_words_that_are_equally_likely_the_first_stay():
    assert nucleus(torch.ones(1, 8).double(), 0.5)[0].tolist() == [True] * 4 + [False] * 4


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_end_the_run(bad: float):
    with pytest.raises(Failure, match="E801"):
        weights(torch.tensor([[0.0, 1.0], [bad, 0.0]]), 1.0, 1.0)


def test_a_forbidden_word_is_no_failure():
    assert weights(torch.tensor([[0.0, -torch.inf]]), 1.0, 0.9).tolist() == [[1.0, 0.0]]


def test_uniform_numbers_are_keyed():
    numbers = uniforms(1, 2, 3, 10)
    assert ((numbers > 0) & (numbers < 1)).all()
    assert uniforms(1, 2, 3, 4).tolist() == numbers[:4].tolist()
    others = [uniforms(0, 2, 3, 10), uniforms(1, 0, 3, 10), uniforms(1, 2, 0, 10), uniforms(2, 1, 3, 10)]
    assert not any((numbers == other).any() for other in others)


def test_uniform_numbers_are_uniform():
    cells = np.bincount(
        (np.concatenate([uniforms(7, k, 0, 10) for k in range(400)]) * 20).astype(int), minlength=20
    )
    assert ((cells - 200) ** 2 / 200).sum() < 43.8  # chi-square, 19 degrees: 0.1 %


@pytest.mark.parametrize(
    "wrong",
    [{"completions": 0}, {"max_new_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.1}],
)
def test_settings_that_give_nothing_are_refused(wrong: dict[str, float]):
    good = {
        "completions": 1,
        "max_new_tokens": 1,
        "temperature": 1.0,
        "top_p": 1.0,
        "eos_ids": (1,),
        "pad_id": 0,
    }
    with pytest.raises(ValueError, match="nothing can be sampled"):
        Sampling(**{**good, **wrong})  # type: ignore[arg-type]


LAWS = [
    {"top_k": 3},
    {"top_k": 1},
    {"top_k": 50, "top_p": 0.6},
    {"top_k": 6, "top_p": 0.7, "temperature": 1.7},
    {"min_p": 0.2},
    {"min_p": 0.05, "top_p": 0.8, "temperature": 0.5},
    {"min_p": 0.01, "top_p": 0.9, "top_k": 9},
]


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_the_law_is_that_of_transformers(law: dict[str, Any]):
    """The distribution that `generate` draws from with these settings, from its own warpers in its own order."""
    torch.manual_seed(1)
    logits = torch.randn(4, 40, dtype=torch.float64) * 2
    warped = logits / law.get("temperature", 1.0)
    ids = torch.zeros(4, 1, dtype=torch.long)
    for name, warper in (
        ("top_k", TopKLogitsWarper),
        ("top_p", TopPLogitsWarper),
        ("min_p", MinPLogitsWarper),
    ):
        warped = warper(law[name])(ids, warped) if name in law else warped
    options = {name: value for name, value in law.items() if name != "temperature"}
    mass = weights(logits, law.get("temperature", 1.0), **options)
    torch.testing.assert_close(mass / mass.sum(1, keepdim=True), warped.softmax(1))


def test_of_equal_words_the_first_stay():
    assert weights(torch.zeros(1, 5), 1.0, top_k=2)[0].tolist() == [1, 1, 0, 0, 0]
    assert weights(torch.zeros(1, 3), 1.0, top_k=9, min_p=1.0)[0].tolist() == [1, 1, 1]

"""Entropy straight from hidden states against torch's own distribution, with its gradient and its memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from alignc.runtime.kernels.attention import use_packed
from alignc.runtime.kernels.entropy import token_entropy
from alignc.runtime.kernels.logprobs import LogitRule, token_log_probs
from alignc.runtime.scoring.layout import pack, pad
from alignc.runtime.scoring.scorer import Scorer

from .test_collision import EXAMPLES, ROWS, model
from .test_logprobs import _Largest, draw, gradients

VOCABULARY = 37
RULES = [LogitRule(), LogitRule(scale=0.7), LogitRule(scale=1.3, softcap=2.0)]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def plain(hidden, weight, bias, rule=RULES[0]):
    logits = torch.nn.functional.linear(hidden, weight, bias) * rule.scale
    if rule.softcap is not None:
        logits = rule.softcap * torch.tanh(logits / rule.softcap)
    return torch.distributions.Categorical(logits=logits).entropy()


@pytest.mark.parametrize("rule", RULES, ids=["plain", "scaled", "capped"])
@pytest.mark.parametrize("width", [1, 7, VOCABULARY])
def test_value_and_gradient_are_those_of_torch(rule, width):
    *leaves, _ = draw()
    found = gradients(lambda h, w, b: token_entropy(h, w, bias=b, rule=rule, width=width), *leaves)
    expected = gradients(lambda h, w, b: plain(h, w, b, rule), *leaves)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    assert torch.autograd.gradcheck(
        lambda h, w, b: token_entropy(h, w, bias=b, rule=rule, width=width), tuple(leaves)
    )


def test_certain_and_even_tokens_by_hand():
    """All mass on one of 5 is 0 nat, an even draw log 5, two of three equal ones among far ones log 2."""
    weight = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    hidden = torch.tensor([[1e4, 0.0], [0.0, 0.0], [0.0, 1e4]])
    for width in (1, 2, 5):
        found = token_entropy(hidden, weight, width=width).tolist()
        assert found == pytest.approx([0.0, math.log(5), math.log(2)], abs=1e-6)


def test_extreme_logits_have_finite_gradients():
    *leaves, _ = draw(torch.float32)
    hidden = (leaves[0].detach() * 1e3).requires_grad_()
    for value in gradients(lambda h, w, b: token_entropy(h, w, bias=b, width=8), hidden, *leaves[1:]):
        assert value.isfinite().all()


@pytest.mark.parametrize("trained", [0, 1, 2])
def test_each_input_may_be_the_only_one_trained(trained):
    leaves = list(draw()[:3])

    def only(score):
        given = [leaf if i == trained else leaf.detach() for i, leaf in enumerate(leaves)]
        return gradients(lambda leaf: score(*given), leaves[trained])

    found, expected = only(lambda h, w, b: token_entropy(h, w, bias=b, width=8)), only(plain)
    torch.testing.assert_close(found, expected)


def test_float32_is_exact_enough_and_autocast_multiplies_in_its_dtype():
    *leaves, _ = draw(torch.float32, tokens=40, vocabulary=3000, hidden=16)
    exact = gradients(lambda h, w, b: plain(h.double(), w.double(), b.double()), *leaves)
    for narrow, limit in ((False, 1e-4), (True, 0.1)):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=narrow):
            found = gradients(lambda h, w, b: token_entropy(h, w, bias=b, width=512), *leaves)
        assert {x.dtype for x in found} == {torch.float32}
        for ours, theirs in zip(found, exact, strict=True):
            torch.testing.assert_close(ours.double(), theirs.double(), rtol=limit, atol=limit)


def test_all_logits_never_exist_at_once():
    *leaves, _ = draw(torch.float32, tokens=50, vocabulary=400, hidden=4)
    with _Largest() as seen:
        token_entropy(leaves[0], leaves[1], width=32).sum().backward()
    assert seen.elements == 50 * 32


def test_without_gradient_the_bits_are_the_same():
    *leaves, _ = draw(torch.float32)
    with_gradient = token_entropy(*leaves[:2], bias=leaves[2], width=8)
    with torch.no_grad():
        assert torch.equal(token_entropy(*leaves[:2], bias=leaves[2], width=8), with_gradient)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("width", [7, 32, 300])
def test_log_probabilities_have_the_same_bits_with_and_without_gradient(dtype, trained, width):
    """Also where the head is frozen, and its gradient comes from the same single pass."""
    hidden, weight, bias, targets = draw(dtype, tokens=60, vocabulary=300, hidden=16)
    weight, bias = (x if trained else x.detach() for x in (weight, bias))
    for budget in (0, 2**30):
        learned = token_log_probs(hidden, weight, targets, bias=bias, width=width, budget=budget)
        with torch.no_grad():
            scored = token_log_probs(hidden, weight, targets, bias=bias, width=width)
        assert learned.requires_grad
        assert torch.equal(learned, scored)


@pytest.mark.parametrize("layout", [pack, pad])
def test_the_scorer_lays_it_out_by_token_with_its_gradient(layout):
    policy = model()
    expected = torch.zeros(2, 2, 4, dtype=torch.float64)
    for row, (prompt, *responses) in enumerate(ROWS):
        for number, response in enumerate(responses):
            logits = policy(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
            expected[row, number, : len(response)] = torch.distributions.Categorical(logits=logits).entropy()
    weights = torch.linspace(0.5, 1.5, expected.numel(), dtype=torch.float64).view_as(expected)
    slopes = torch.autograd.grad((expected * weights).sum(), list(policy.parameters()))
    if layout is pack:
        use_packed(policy)
    found = Scorer(policy, outputs=["entropy"])(layout(EXAMPLES))["entropy"]
    np.testing.assert_allclose(found.detach(), expected.detach(), rtol=0, atol=1e-10)
    got = torch.autograd.grad((found * weights).sum(), list(policy.parameters()))
    for ours, theirs in zip(got, slopes, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8)  # Llama's norm rounds to float32

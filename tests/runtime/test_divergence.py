"""The KL of what comes next, over the whole vocabulary: against torch's distributions, and as jobs use it."""

from __future__ import annotations

import copy
import math
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from alignc.contract.failure import Failure
from alignc.runtime.kernels.attention import use_packed
from alignc.runtime.kernels.divergence import ReferenceHead, token_divergence
from alignc.runtime.kernels.logprobs import LogitRule
from alignc.runtime.rollout.log_probs import same_words
from alignc.runtime.scoring.layout import pack, pad
from alignc.runtime.scoring.scorer import ReferenceModel, Scorer

from .forks import Forks
from .online_jobs import online_script, read_rows
from .test_collision import EXAMPLES, ROWS, model
from .test_entropy import RULES, VOCABULARY
from .test_logprobs import _Largest, draw, gradients


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def distribution(hidden, weight, bias, rule):
    logits = torch.nn.functional.linear(hidden, weight, bias) * rule.scale
    if rule.softcap is not None:
        logits = rule.softcap * torch.tanh(logits / rule.softcap)
    return Categorical(logits=logits)


def plain(hidden, weight, bias, other, rule=RULES[0]):
    known = distribution(other.hidden, other.weight, other.bias, other.rule)
    return kl_divergence(distribution(hidden, weight, bias, rule), known)


def others(dtype=torch.float64, rule=RULES[0]):
    hidden, weight, bias = (leaf.detach() for leaf in draw(dtype)[:3])
    return ReferenceHead(hidden, weight, bias, rule)


@pytest.mark.parametrize("rule", RULES, ids=["plain", "scaled", "capped"])
@pytest.mark.parametrize("width", [1, 7, VOCABULARY])
def test_value_and_gradient_are_those_of_torch(rule, width):
    other, (*leaves, _) = others(rule=LogitRule(0.9)), draw()
    found = gradients(lambda h, w, b: token_divergence(h, w, other, bias=b, rule=rule, width=width), *leaves)
    expected = gradients(lambda h, w, b: plain(h, w, b, other, rule), *leaves)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)
    assert torch.autograd.gradcheck(
        lambda h, w, b: token_divergence(h, w, other, bias=b, rule=rule, width=width), tuple(leaves)
    )


def test_by_hand():
    """Certain against even among 4: log 4. Two even against (1/4, 3/4): ½log(4/3). The same: exactly 0."""
    eye, off = torch.eye(4), torch.full((4,), -1e4)
    hidden = torch.stack([off.clone(), off.clone(), torch.tensor([0.3, -2.0, 1.0, 4.0])])
    hidden[0, 0] = hidden[1, 0] = hidden[1, 1] = 0.0
    known = torch.stack([torch.zeros(4), torch.tensor([0.25, 0.75, 0.0, 0.0]).log(), hidden[2]])
    known[1, 2:] = -1e4
    for width in (1, 3, 4):
        found = token_divergence(hidden, eye, ReferenceHead(known, eye), width=width).tolist()
        assert found[:2] == pytest.approx([math.log(4), math.log(4 / 3) / 2], abs=1e-6)
        assert found[2] == 0.0


def test_extreme_logits_have_finite_gradients():
    *leaves, _ = draw(torch.float32)
    hidden = (leaves[0].detach() * 1e3).requires_grad_()
    other = others(torch.float32)
    for value in gradients(
        lambda h, w, b: token_divergence(h, w, other, bias=b, width=8), hidden, *leaves[1:]
    ):
        assert value.isfinite().all()


def test_all_logits_never_exist_at_once():
    *leaves, _ = draw(torch.float32, tokens=50, vocabulary=400, hidden=4)
    other = ReferenceHead(torch.randn(50, 4), torch.randn(400, 4))
    with _Largest() as seen:
        token_divergence(leaves[0], leaves[1], other, width=32).sum().backward()
    assert seen.elements == 50 * 32


def beside(policy):
    known = copy.deepcopy(policy)
    with torch.no_grad():
        for parameter in known.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return known.requires_grad_(False)


@pytest.mark.parametrize("layout", [pack, pad])
def test_the_scorer_lays_it_out_by_token_with_its_gradient(layout):
    policy = model()
    other = beside(policy)
    expected = torch.zeros(2, 2, 4, dtype=torch.float64)
    for row, (prompt, *responses) in enumerate(ROWS):
        for number, response in enumerate(responses):
            ids, there = torch.tensor([prompt + response]), slice(len(prompt) - 1, -1)
            own, known = (Categorical(logits=m(ids).logits[0, there]) for m in (policy, other))
            expected[row, number, : len(response)] = kl_divergence(own, known)
    weights = torch.linspace(0.5, 1.5, expected.numel(), dtype=torch.float64).view_as(expected)
    slopes = torch.autograd.grad((expected * weights).sum(), list(policy.parameters()))
    if layout is pack:
        use_packed(policy)
        use_packed(other)
    reference = ReferenceModel(other, Scorer(other), nullcontext)
    scorer = Scorer(policy, outputs=["divergence"], beside=reference)
    assert {name.partition(".")[0] for name, _ in scorer.named_parameters()} == {
        "model"
    }  # the reference is not in it
    found = scorer(layout(EXAMPLES))["divergence"]
    np.testing.assert_allclose(found.detach(), expected.detach(), rtol=0, atol=1e-8)
    got = torch.autograd.grad((found * weights).sum(), list(policy.parameters()))
    for ours, theirs in zip(got, slopes, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)  # Llama's norm rounds to float32
    same = Scorer(policy, outputs=["divergence"], beside=ReferenceModel(policy, scorer))
    assert not same(layout(EXAMPLES))["divergence"].any()


def test_a_reference_with_other_words_is_refused():
    policy, other = model(), model()
    other.resize_token_embeddings(15)
    same_words(policy, model())
    with pytest.raises(Failure, match="12 tokens in its vocabulary, but its reference has 15") as caught:
        same_words(policy, other)
    assert caught.value.code == "E607"


def test_a_job_pays_for_it_and_descends_it(forks: Forks, tmp_path: Path):
    """At 0 in the first step; and what the rewards lose is what the loss logs at the rollout's first update."""
    script = online_script(tmp_path, "full", data={"eval": None}, train={"learning_rate": 0.05})
    assert forks.run(script)["status"] == 0
    rows = read_rows(script)
    assert rows[0]["kl"] == rows[0]["objective/non_score_reward"] == 0.0
    later = [row for row in rows if row["step"] > 1 and row["step"] % 2 == 1]
    assert later
    for row in later:
        assert row["kl"] > 1e-4
        assert row["objective/non_score_reward"] == pytest.approx(-0.2 * row["kl"], rel=1e-4)

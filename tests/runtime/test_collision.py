"""How peaked a policy is at each token, and WPO's weights: against the naive formula, without gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from alignc.runtime.data.example import Example
from alignc.runtime.kernels.collision import log_sum_squares
from alignc.runtime.kernels.logprobs import LogitRule
from alignc.runtime.scoring.layout import pack, pad
from alignc.runtime.scoring.scorer import Scorer

from ..emitted import loss_module
from ..variants import Variant, compiled

ROWS = [([3, 9, 4], [5, 6, 1], [8, 1]), ([2], [7, 3, 3, 1], [6, 1])]
EXAMPLES = [
    Example(i, f"x:{i}", np.array(p, np.int32), tuple(np.array(r, np.int32) for r in rs), {})
    for i, (p, *rs) in enumerate(ROWS)
]


@pytest.mark.parametrize("vocabulary", [7, 3000, 20_000])  # less than a tile, and several
@pytest.mark.parametrize("rule", [LogitRule(), LogitRule(0.5, 3.0)])
def test_it_is_the_logarithm_of_the_sum_of_squared_probabilities(vocabulary: int, rule: LogitRule):
    torch.manual_seed(0)
    hidden, weight = torch.randn(9, 8).double(), torch.randn(vocabulary, 8).double()
    bias = torch.randn(vocabulary).double()
    logits = (hidden @ weight.T + bias) * rule.scale
    if rule.softcap:
        logits = rule.softcap * torch.tanh(logits / rule.softcap)
    naive = logits.softmax(-1).square().sum(-1).log()
    found = log_sum_squares(hidden, weight, bias=bias, rule=rule)
    torch.testing.assert_close(found, naive, rtol=1e-12, atol=1e-12)


def test_extreme_logits_stay_finite():
    """A certain token gives log 1 = 0, V equal ones give -log V."""
    hidden = torch.tensor([[1e4], [0.0]])
    found = log_sum_squares(hidden, torch.tensor([[1.0], [0.0], [0.0], [0.0]]))
    assert found.tolist() == pytest.approx([0.0, -np.log(4)], abs=1e-6)


def test_it_takes_no_gradient():
    hidden, weight = torch.randn(3, 4, requires_grad=True), torch.randn(5, 4, requires_grad=True)
    assert not log_sum_squares(hidden, weight).requires_grad


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = AutoConfig.for_model("llama", vocab_size=12, num_key_value_heads=2, **sizes)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float64).eval()


@pytest.mark.parametrize("layout", [pack, pad])
def test_the_scorer_lays_it_out_by_token(layout):
    policy = model()
    expected = torch.zeros(2, 2, 4, dtype=torch.float64)
    for row, (prompt, *responses) in enumerate(ROWS):
        for number, response in enumerate(responses):
            logits = policy(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
            expected[row, number, : len(response)] = logits.softmax(-1).square().sum(-1).log()
    if layout is pack:
        from alignc.runtime.kernels.attention import use_packed

        use_packed(policy)
    found = Scorer(policy, outputs=["log_sum_squares"])(layout(EXAMPLES))
    torch.testing.assert_close(found["log_sum_squares"], expected.detach(), rtol=0, atol=1e-10)
    assert found["logps"].requires_grad


def test_wpo_weighs_rows_and_sends_no_gradient_through_the_weights():
    """Two rows, beta 0.1: the weight of a row is exp(mean over w + mean over l of log p - log sum squares)."""
    wanted = compiled(Variant("wpo"))
    logps = {"chosen": [[-1.0, -2.0], [-0.5, 0.0]], "rejected": [[-3.0, 0.0], [-1.0, -1.0]]}
    squares = {"chosen": [[-0.5, -0.5], [-0.25, 0.0]], "rejected": [[-1.0, 0.0], [-2.0, 0.0]]}
    masks = {"chosen": [[1, 1], [1, 0]], "rejected": [[1, 0], [1, 1]]}
    batch = {}
    for name in ("chosen", "rejected"):
        batch[f"policy/{name}"] = torch.tensor(logps[name], dtype=torch.float64, requires_grad=True)
        batch[f"initial/{name}"] = torch.full((2, 2), -1.0).double() * torch.tensor(masks[name])
        batch[f"mask/{name}"] = torch.tensor(masks[name]).bool()
        batch[f"log_sum_squares/{name}"] = torch.tensor(squares[name], dtype=torch.float64)
    share, _ = loss_module(wanted).loss(batch, {"rows": 2.0})
    share.backward()
    # row 1: w = exp((-3 + 1)/2 + (-3 + 1)/1) = e^-3, log-ratios -1 and -2, margin 0.1
    # row 2: w = exp((-0.5 + 0.25)/1 + (-2 + 2)/2) = e^-0.25, log-ratios 0.5 and 0, margin 0.05
    weights, margins = np.exp([-3.0, -0.25]), np.array([0.1, 0.05])
    assert share.item() == pytest.approx((weights * np.log1p(np.exp(-margins))).sum() / 2)
    slopes = -0.1 * weights / (1 + np.exp(margins)) / 2
    expected = slopes[:, None] * np.array(masks["chosen"])
    np.testing.assert_allclose(batch["policy/chosen"].grad.numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(
        batch["policy/rejected"].grad.numpy(), -slopes[:, None] * np.array(masks["rejected"]), rtol=1e-12
    )

"""The fused log-probability against the plain one, which makes all logits."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from alignc.runtime.kernels.logprobs import LogitRule, token_log_probs

TOKENS, HIDDEN, VOCABULARY, WIDTH = 11, 5, 37, 8
KEEP, DROP = 2**30, 0
RULES = [LogitRule(), LogitRule(scale=0.7), LogitRule(scale=1.3, softcap=2.0)]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def plain(hidden, weight, targets, *, bias=None, rule=RULES[0]):
    logits = torch.nn.functional.linear(hidden, weight, bias) * rule.scale
    if rule.softcap is not None:
        logits = rule.softcap * torch.tanh(logits / rule.softcap)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return wide.log_softmax(-1).gather(1, targets[:, None])[:, 0]


def draw(dtype=torch.float64, tokens=TOKENS, vocabulary=VOCABULARY, hidden=HIDDEN):
    targets = torch.randint(vocabulary, (tokens,))
    shapes = ((tokens, hidden), (vocabulary, hidden), (vocabulary,))
    return *(torch.randn(shape).to(dtype).requires_grad_() for shape in shapes), targets


def gradients(score, *leaves):
    result = score(*leaves)
    upstream = torch.linspace(-1, 2, len(result)).to(result.dtype)
    return result.detach(), *torch.autograd.grad(result, leaves, upstream)


def test_two_tokens_by_hand():
    # logits (0, ln 3): p = (1/4, 3/4)
    weight = torch.tensor([[0.0], [math.log(3)]])
    found = token_log_probs(torch.ones(2, 1), weight, torch.tensor([0, 1]), width=1)
    torch.testing.assert_close(found, torch.tensor([math.log(1 / 4), math.log(3 / 4)]))


@pytest.mark.parametrize("rule", RULES, ids=["plain", "scaled", "capped"])
@pytest.mark.parametrize("budget", [KEEP, DROP], ids=["kept", "made again"])
def test_finite_differences_confirm_the_gradient(rule, budget):
    hidden, weight, bias, targets = draw()
    options = {"rule": rule, "budget": budget, "width": WIDTH}
    assert torch.autograd.gradcheck(
        lambda h, w, b: token_log_probs(h, w, targets, bias=b, **options), (hidden, weight, bias)
    )
    assert torch.autograd.gradcheck(
        lambda h: token_log_probs(h, weight.detach(), targets, bias=bias.detach(), **options), (hidden,)
    )


@pytest.mark.parametrize("rule", RULES, ids=["plain", "scaled", "capped"])
@pytest.mark.parametrize("budget", [KEEP, DROP], ids=["kept", "made again"])
def test_float32_equals_plain_within_1e_5(rule, budget):
    *leaves, targets = draw(torch.float32, tokens=70, vocabulary=1000, hidden=32)
    fused = gradients(
        lambda h, w, b: token_log_probs(h, w, targets, bias=b, rule=rule, budget=budget, width=96), *leaves
    )
    for ours, theirs in zip(
        fused, gradients(lambda h, w, b: plain(h, w, targets, bias=b, rule=rule), *leaves), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_rows_are_cut_too_where_tokens_are_many(monkeypatch):
    monkeypatch.setattr("alignc.runtime.kernels.tiles.TILE_BYTES", 3 * WIDTH * 8)  # three rows a tile
    *leaves, targets = draw()
    expected = gradients(lambda h, w, b: plain(h, w, targets, bias=b), *leaves)
    for budget in (KEEP, DROP):
        found = gradients(
            lambda h, w, b, room=budget: token_log_probs(h, w, targets, bias=b, budget=room, width=WIDTH),
            *leaves,
        )
        torch.testing.assert_close(found, expected)
    frozen = gradients(lambda h: token_log_probs(h, leaves[1].detach(), targets, width=WIDTH), leaves[0])
    torch.testing.assert_close(frozen, gradients(lambda h: plain(h, leaves[1].detach(), targets), leaves[0]))


@pytest.mark.parametrize("trained", ["hidden", "weight", "bias"])
def test_each_input_may_be_the_only_one_trained(trained):
    leaves = dict(zip(("hidden", "weight", "bias"), draw(), strict=False))
    targets = torch.arange(TOKENS)
    held = {name: value.detach() for name, value in leaves.items()}

    def with_leaf(score, **options):
        def of(leaf):
            given = held | {trained: leaf}
            return score(given["hidden"], given["weight"], targets, bias=given["bias"], **options)

        return gradients(of, leaves[trained])

    torch.testing.assert_close(with_leaf(token_log_probs, width=WIDTH), with_leaf(plain))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("budget", [KEEP, DROP], ids=["kept", "made again"])
def test_half_precision_stays_within_its_rounding(dtype, budget):
    *leaves, targets = draw(dtype, tokens=40, vocabulary=600, hidden=32)
    found = gradients(
        lambda h, w, b: token_log_probs(h, w, targets, bias=b, budget=budget, width=64), *leaves
    )
    expected = gradients(
        lambda h, w, b: plain(h, w, targets, bias=b), *(x.detach().float().requires_grad_() for x in leaves)
    )
    assert found[0].dtype == torch.float32
    assert [x.dtype for x in found[1:]] == [dtype] * 3
    rounding = 8 * torch.finfo(dtype).eps
    for ours, theirs in zip(found, expected, strict=True):
        assert (ours.float() - theirs).abs().max() < rounding * theirs.abs().max()


def test_sums_over_tiles_are_float32_in_half_precision():
    """4,096 equal logits: summing their exponentials in bfloat16 would stop at 256."""
    hidden, weight = torch.zeros(1, 4, dtype=torch.bfloat16), torch.zeros(4096, 4, dtype=torch.bfloat16)
    found = token_log_probs(hidden, weight, torch.tensor([7]), width=1)
    assert found.item() == pytest.approx(-math.log(4096), abs=1e-4)


@pytest.mark.parametrize("budget", [KEEP, DROP], ids=["kept", "made again"])
def test_extreme_logits_stay_finite(budget):
    *leaves, targets = draw(torch.float32)
    large = [leaf.detach().mul(1e2).requires_grad_() for leaf in leaves[:2]]
    assert (large[0] @ large[1].t()).abs().max() > 1e4
    for values in (
        gradients(lambda h, w: token_log_probs(h, w, targets, budget=budget, width=WIDTH), *large),
        gradients(lambda h: token_log_probs(h, large[1].detach(), targets, width=WIDTH), large[0]),
    ):
        assert all(x.isfinite().all() for x in values)


@pytest.mark.parametrize("budget", [KEEP, DROP], ids=["kept", "made again"])
def test_large_logits_lose_no_precision(budget):
    """Whole numbers multiply exactly in float32: logits 20000 ± a few keep six digits of log p."""
    near = torch.tensor([[1.0, 3.0, 0.0, 2.0, -4.0]]).t()
    hidden, weight = torch.tensor([[1.0, 20000.0]]), torch.cat([near, torch.ones(5, 1)], dim=1)
    hidden.requires_grad_()
    weight.requires_grad_()
    found = token_log_probs(hidden, weight, torch.tensor([3]), budget=budget, width=2)
    p = near[:, 0].double().softmax(0)
    assert found.item() == pytest.approx(p[3].log().item(), rel=1e-6)
    slope = torch.autograd.grad(found, weight)[0][:, 0].double()
    torch.testing.assert_close(slope, torch.eye(5, dtype=torch.float64)[3] - p, rtol=1e-6, atol=1e-7)


def test_autocast_multiplies_in_its_dtype_and_keeps_float32_leaves():
    *leaves, targets = draw(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gradients(lambda h, w, b: token_log_probs(h, w, targets, bias=b, width=WIDTH), *leaves)
    exact = gradients(lambda h, w, b: token_log_probs(h, w, targets, bias=b, width=WIDTH), *leaves)
    assert {x.dtype for x in found} == {torch.float32}
    error = max((a - b).abs().max().item() for a, b in zip(found, exact, strict=True))
    assert 1e-4 < error < 0.2


def test_without_gradient_the_value_is_the_same():
    hidden, weight, bias, targets = draw()
    with torch.no_grad():
        found = token_log_probs(hidden, weight, targets, bias=bias, width=WIDTH)
    assert not found.requires_grad
    torch.testing.assert_close(found, plain(hidden, weight, targets, bias=bias).detach())


def test_no_tokens_give_no_values_and_zero_gradients():
    hidden, weight, _, _ = draw()
    result = token_log_probs(hidden[:0], weight, torch.empty(0, dtype=torch.long), width=WIDTH)
    assert result.shape == (0,)
    assert torch.autograd.grad(result.sum(), weight)[0].abs().sum() == 0


class _Largest(TorchDispatchMode):
    """Record the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple) else (result,):
            if isinstance(value, torch.Tensor):
                self.elements = max(self.elements, value.numel())
        return result


@pytest.mark.parametrize("frozen", [False, True])
def test_all_logits_never_exist_at_once(frozen):
    *leaves, targets = draw(torch.float32, tokens=50, vocabulary=400, hidden=4)
    hidden, weight = leaves[0], leaves[1].detach() if frozen else leaves[1]
    with _Largest() as seen:
        token_log_probs(hidden, weight, targets, budget=0, width=32).sum().backward()
    assert seen.elements == 50 * 32  # one tile; hidden and weight are smaller or as large

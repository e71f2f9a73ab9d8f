"""Far from the policy that sampled, in groups of one mind, and in responses of one token and of many."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch

from alignc.point.evaluate import PointError, at_point

from ..emitted import loss_module
from ..online_variants import METHODS, PRESETS, Online, compiled_online, example
from ..reference_policy import evaluated
from .test_reference_policy import assert_same, own

BY_NAME = {v.name: v for v in METHODS}
HELD = [v for v in PRESETS if v.means.surrogate[0] in ("clipped", "reinforce", "cispo")]


def at(variant: Online, row: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = at_point(compiled_online(variant).loss, {"examples": [row]}, possible=False)[
        "examples"
    ][0]
    return found


def right(variant: Online, row: dict[str, Any]) -> None:
    """Compare with the reference implementation, finite numbers all."""
    found, (loss, slopes) = at(variant, row), own(variant, row)
    assert math.isfinite(found["loss"])
    assert found["loss"] == pytest.approx(loss, rel=1e-10, abs=1e-12)
    assert_same(found["gradient"], slopes)


@pytest.mark.parametrize("variant", HELD, ids=lambda v: v.name)
@pytest.mark.parametrize("away", [700.0, -700.0])
def test_a_token_far_from_the_policy_that_sampled(variant: Online, away: float) -> None:
    """ρ = e^±700, which float64 still holds; where the clip is on, its part is (1 ± ε)·A and has no slope."""
    rng = random.Random(variant.name)
    row = example(rng, variant, spread=0.0)
    for y in row["completions"]:
        y["old_logp"][0] = y["logp"][0] - away
        y["ref_logp"] = list(y["logp"])
    right(variant, row)


def test_a_clipped_ratio_of_e700_has_no_slope() -> None:
    """By hand: A = ±1 after the mean of rewards 1 and −1 is off; one token each, k = 2, T_max = 64."""
    row = {"completions": [
        {"logp": [-1.0], "old_logp": [-701.0], "reward": 1.0},
        {"logp": [-701.0], "old_logp": [-1.0], "reward": -1.0},
    ]}  # fmt: skip
    found = at(BY_NAME["dr_grpo"], row)
    assert found["loss"] == pytest.approx((-1.2 + 0.8) / 128)
    assert found["gradient"] == {"completions": [{"logp": [0.0]}, {"logp": [0.0]}]}


GROUPED = [v for v in PRESETS if not v.means.given and v.means.baseline[0] in ("group_mean", "group_std")]


@pytest.mark.parametrize("variant", GROUPED, ids=lambda v: v.name)
def test_a_group_of_equal_rewards_teaches_nothing(variant: Online) -> None:
    """The standard deviation is 0, and 0/(0 + 1e-4) is 0: only the KL, where there is one, has a slope."""
    row = example(random.Random(1), variant)
    for y in row["completions"]:
        y["reward"] = 0.1
    right(variant, row)
    if variant.means.kl is None:
        assert at(variant, row)["loss"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("variant", PRESETS, ids=lambda v: v.name)
@pytest.mark.parametrize("lengths", [(1, 1), (1, 500), (500, 500)])
def test_one_token_and_five_hundred(variant: Online, lengths: tuple[int, int]) -> None:
    rng, members = random.Random(2), []
    for n in lengths:
        y = example(rng, variant)["completions"][0]
        members.append({k: (v * n)[:n] if isinstance(v, list) else v for k, v in y.items()})
    right(variant, {"completions": members})


@pytest.mark.parametrize("variant", PRESETS, ids=lambda v: v.name)
def test_no_advantage_no_slope(variant: Online) -> None:
    """With A = 0 given, what is left is the KL in the loss."""
    row = example(random.Random(3), variant)
    for y in row["completions"]:
        y["advantage"] = 0.0
    found = at(variant, row)["gradient"]["completions"]
    if variant.means.kl is None or variant.means.kl[1] == "reward":
        assert all(s == 0 for y in found for s in y["logp"])


def test_a_ratio_of_the_response_takes_one_advantage() -> None:
    row = example(random.Random(4), BY_NAME["gspo"])
    for y in row["completions"]:
        y["advantage"] = [1.0] * len(y["logp"])
    with pytest.raises(PointError, match="`advantage` must be one number"):
        at(BY_NAME["gspo"], row)


@pytest.mark.parametrize("name", ["grpo", "dapo", "dr_grpo", "cispo"])
def test_sums_are_not_taken_for_tokens(name: str) -> None:
    """ρ of thirty tokens is no e^Σ: a response given by its sum is refused, unless it has one token."""
    y = {"logp": -30.0, "old_logp": -31.0, "ref_logp": -30.0, "length": 30, "reward": 1.0}
    with pytest.raises(PointError, match="one number per token") as caught:
        at(BY_NAME[name], {"completions": [y, y]})
    assert (caught.value.code, caught.value.path) == ("E003", "examples[0].completions[0].logp")
    single = [{**y, "length": 1}, {**y, "length": 1, "reward": 0.0}]
    right(
        BY_NAME["rloo"],
        {"completions": [{k: [v] if "logp" in k else v for k, v in z.items()} for z in single]},
    )
    assert math.isfinite(at(BY_NAME[name], {"completions": single})["loss"])


def test_sums_do_where_no_token_is_looked_at() -> None:
    """RLOO by hand: u = −1 and −2, R′ = 1.03 and 0.06, A = ±0.97, and half of that each."""
    y = {"logp": -30.0, "old_logp": -31.0, "ref_logp": -30.0, "length": 30, "reward": 1.0}
    other = {**y, "ref_logp": -29.0, "reward": 0.0}
    found = at(BY_NAME["rloo"], {"completions": [y, other]})["gradient"]["completions"]
    assert [z["logp"] for z in found] == pytest.approx([-0.485, 0.485])


def test_lists_of_different_lengths_are_refused() -> None:
    row = example(random.Random(5), BY_NAME["grpo"])
    row["completions"][0]["old_logp"].append(-1.0)
    with pytest.raises(PointError, match="one number for each of its tokens"):
        at(BY_NAME["grpo"], row)


FLOAT32 = [v for v in PRESETS if v.means.kl is None or v.means.kl[1] == "reward"]


@pytest.mark.parametrize("variant", FLOAT32, ids=lambda v: v.name)
@pytest.mark.parametrize("away", [700.0, -700.0])
def test_the_emitted_loss_stays_finite_in_float32(variant: Online, away: float) -> None:
    """What a job's models give is float32, where e^89 is infinite already; a clipped token must not make NaN of it."""
    made = compiled_online(variant)
    near = torch.tensor([[[-1.0, -2.0], [-1.5, -0.5]]])
    far = near - torch.tensor([[[away, 0.0], [0.0, 0.0]]])
    sign = 1.0 if away > 0 else -1.0
    batch = {
        "policy/completions": near.clone().requires_grad_(), "rollout/completions": far,
        "initial/completions": near.clone(), "mask/completions": torch.ones(1, 2, 2, dtype=torch.bool),
        "column/reward/completions": torch.tensor([[sign, -sign]]),
        "column/win_rate/completions": torch.tensor([[0.5 + sign / 4, 0.5 - sign / 4]]),
        "column/advantage/completions": torch.full((1, 2, 2), sign),
        "column/return/completions": torch.ones(1, 2, 2), "column/old_value/completions": torch.ones(1, 2, 2),
        "token_value/completions": torch.zeros(1, 2, 2).requires_grad_(),
    }  # fmt: skip
    share, _ = loss_module(made).loss(batch, {"rows": 1.0, "tokens/completions": 4.0})
    share.backward()
    slopes = batch["policy/completions"].grad
    assert slopes is not None
    assert bool(torch.isfinite(slopes).all())
    assert math.isfinite(share.item())


def test_the_reference_itself_is_the_arithmetic() -> None:
    """GRPO by hand: rewards 1 and 0 have s = 1/√2, so A = ±½/(1/√2 + 1e-4); one token each, ρ = 1 and u = 0.5 and 0."""
    row = [
        {"logp": [-1.0], "old_logp": [-1.0], "ref_logp": [-1.5], "reward": 1.0},
        {"logp": [-2.0], "old_logp": [-2.0], "ref_logp": [-2.0], "reward": 0.0},
    ]
    loss, slopes = evaluated([row], BY_NAME["grpo"].means)
    a, k3 = 0.5 / (math.sqrt(0.5) + 1e-4), math.exp(-0.5) - 1 + 0.5
    assert loss == pytest.approx(0.04 * k3 / 2)
    assert slopes.logp[0][0] == pytest.approx([-a / 2 + 0.04 * (1 - math.exp(-0.5)) / 2])
    assert slopes.logp[0][1] == pytest.approx([a / 2])


@pytest.mark.parametrize("name", ["rloo", "grpo"])
def test_a_group_of_one_has_no_others(name: str) -> None:
    """Its baseline would be 0/0, which JSON cannot say."""
    alone = [{"logp": [-1.0], "old_logp": [-1.0], "ref_logp": [-1.5], "reward": 1.0}]
    with pytest.raises(PointError, match="two or more") as refused:
        at_point(compiled_online(BY_NAME[name]).loss, {"examples": [{"completions": alone}]}, possible=False)
    assert (refused.value.code, refused.value.path) == ("E105", "examples[0].completions")

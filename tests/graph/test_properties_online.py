"""What holds of every policy gradient, whatever the rewards and the responses are."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignc.point.evaluate import at_point

from ..online_variants import METHODS, Online, compiled_online, example
from ..reference_policy import Method

quick = settings(max_examples=8, deadline=None, derandomize=True)
SEED = st.integers(0, 10**6)
GROUPED = [v for v in METHODS if not v.means.given]
CENTRED = [v for v in GROUPED if v.means.baseline[0] in ("leave_one_out", "other", "group_mean", "group_std")]
BARE = [v for v in CENTRED if v.means.kl is None]
STD = [v for v in BARE if v.means.baseline[0] == "group_std"]


def gradient(variant: Online, row: dict[str, Any]) -> list[list[float]]:
    found = at_point(compiled_online(variant).loss, {"examples": [row]}, possible=False)["examples"][0][
        "gradient"
    ]
    return [y["logp"] for y in found["completions"]]


def close(found: list[list[float]], expected: list[list[float]], rel: float = 1e-9) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=rel, abs=1e-10)


def drawn(variant: Online, seed: int) -> dict[str, Any]:
    return example(random.Random(seed), variant)


@pytest.mark.parametrize("variant", METHODS, ids=lambda v: v.name)
@quick
@given(seed=SEED)
def test_the_order_of_a_group_means_nothing(variant: Online, seed: int) -> None:
    row = drawn(variant, seed)
    order = random.Random(seed).sample(range(len(row["completions"])), len(row["completions"]))
    shuffled = {"completions": [row["completions"][i] for i in order]}
    before, after = gradient(variant, row), gradient(variant, shuffled)
    close(after, [before[i] for i in order])


@pytest.mark.parametrize("variant", CENTRED, ids=lambda v: v.name)
@quick
@given(seed=SEED, shift=st.floats(-100, 100))
def test_a_constant_on_all_rewards_of_a_group_changes_nothing(
    variant: Online, seed: int, shift: float
) -> None:
    row = drawn(variant, seed)
    moved = copy.deepcopy(row)
    for y in moved["completions"]:
        y["reward"] += shift
    close(gradient(variant, moved), gradient(variant, row), rel=1e-7)


@pytest.mark.parametrize("variant", STD, ids=lambda v: v.name)
@quick
@given(seed=SEED, scale=st.floats(0.5, 1e4))
def test_the_scale_of_rewards_is_divided_away(variant: Online, seed: int, scale: float) -> None:
    """But for ε: (s + ε)/(s + ε/scale) is all that is left of it."""
    row = drawn(variant, seed)
    rewards = [y["reward"] for y in row["completions"]]
    mean = sum(rewards) / len(rewards)
    _, ddof, epsilon = variant.means.baseline
    spread = (sum((r - mean) ** 2 for r in rewards) / (len(rewards) - ddof)) ** 0.5
    scaled = copy.deepcopy(row)
    for y in scaled["completions"]:
        y["reward"] *= scale
    left = (spread + epsilon) / (spread + epsilon / scale)
    expected = [[s * left for s in y] for y in gradient(variant, row)]
    close(gradient(variant, scaled), expected, rel=1e-7)


@pytest.mark.parametrize("variant", BARE, ids=lambda v: v.name)
@quick
@given(seed=SEED)
def test_advantages_of_a_group_sum_to_nothing(variant: Online, seed: int) -> None:
    """Of responses of one length, at the policy that sampled, the slopes cancel."""
    row = drawn(variant, seed)
    for y in row["completions"]:
        for key in ("logp", "old_logp", "ref_logp"):
            y[key] = [-1.0, -2.0, -0.5]
    slopes = gradient(variant, row)
    assert sum(s for y in slopes for s in y) == pytest.approx(0, abs=1e-9)


def surrogate(kind: str, ratio: str = "token") -> Online:
    term = {
        "name": "policy", "kind": "policy_gradient", "surrogate": kind, "ratio": ratio, "baseline": "leave_one_out",
    }  # fmt: skip
    return Online(f"{kind}-{ratio}", {"terms": [term]}, Method(baseline=("leave_one_out",)))


@pytest.mark.parametrize("ratio", ["token", "sequence"])
@pytest.mark.parametrize("kind", ["importance", "clipped", "soft", "cispo"])
@quick
@given(seed=SEED)
def test_before_a_step_every_surrogate_is_reinforce(kind: str, ratio: str, seed: int) -> None:
    """ρ = 1: min(ρA, clip(ρ)A), ρA, the gate 4/τ·σ(τ(ρ − 1))·A, and sg(ρ)·A·log π all have the slope A on log π."""
    row = drawn(surrogate(kind, ratio), seed)
    for y in row["completions"]:
        y["old_logp"] = list(y["logp"])
    close(gradient(surrogate(kind, ratio), row), gradient(surrogate("reinforce"), row))


@quick
@given(seed=SEED)
def test_reductions_of_presets_before_a_step(seed: int) -> None:
    """Dr. GRPO is (k − 1)/k of RLOO over T_max; GRPO without KL is that over the group's spread, and over |y|."""
    by_name = {v.name: v for v in METHODS}
    row = drawn(by_name["rloo-kl_None"], seed)
    for y in row["completions"]:
        y["old_logp"] = list(y["logp"])
    k = len(row["completions"])
    rloo = gradient(by_name["rloo-kl_None"], row)
    close(gradient(by_name["dr_grpo"], row), [[s * (k - 1) / k / 64 for s in y] for y in rloo])
    rewards = [y["reward"] for y in row["completions"]]
    mean = sum(rewards) / k
    spread = (sum((r - mean) ** 2 for r in rewards) / (k - 1)) ** 0.5 + 1e-4
    close(
        gradient(by_name["grpo-kl_None"], row), [[s * (k - 1) / k / spread / len(y) for s in y] for y in rloo]
    )


@quick
@given(seed=SEED)
def test_grpo_of_two_forgets_the_size_of_rewards(seed: int) -> None:
    """Advantages ±1/√2 (but for ε), whatever the rewards: a pairwise loss with a linear link."""
    variant = next(v for v in METHODS if v.name == "grpo-kl_None")
    row = {"completions": drawn(variant, seed)["completions"][:2]}
    ahead = row["completions"][0]["reward"] > row["completions"][1]["reward"]
    for y in row["completions"]:
        y["old_logp"] = list(y["logp"])
        y["reward"] *= 1e6
    first, second = (sum(y) for y in gradient(variant, row))
    sign = -1 if ahead else 1
    assert (first, second) == pytest.approx((sign / 2**1.5, -sign / 2**1.5), rel=1e-3)

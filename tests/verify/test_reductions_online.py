"""Reductions between online and scored losses, on both sides: where each holds, and where its condition is broken."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alignc.api import lowered
from alignc.lower.loss import Loss
from alignc.verify.objectives import TOY
from alignc.verify.response_space import BANDIT, TOKENS, Policy, ResponseSpace
from alignc.verify.rows import rows_of_data, win_rates
from alignc.verify.surrogate import Groups, Surrogate
from alignc.verify.toy import Expected, Toy, log_softmax

from .online import coefficients, drawn, judged, preset, term

EXACT = {"rel": 1e-12, "abs": 1e-15}
SEQUENCE = {"estimator": "k1", "placement": "reward", "granularity": "sequence", "beta": 0.3}


def flat(values: list[Any]) -> list[float]:
    return [v for row in values for v in (row if isinstance(row, list) else [row])]


def expected(loss: Loss, space: ResponseSpace, k: int, policy: Policy) -> np.ndarray:
    return Surrogate(loss.terms[0], Groups(space, k)).gradient(policy, policy)


def scaled(values: list[Any], factor: float) -> list[float]:
    return [factor * v for v in flat(values)]


# ---- 16 to 19: CoPG -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_copg_is_rloo_sample_by_sample(k: int, seed: int) -> None:
    """∇CoPG-k = 2βk·∇RLOO(k), normalised k·∇RLOO(k): where R − β·u is taken at the policy itself."""
    rloo = preset("rloo", k, kl=SEQUENCE)
    whole, halved = (preset("copg", k, beta=0.3, normalized=n) for n in (False, True))
    group = drawn(seed, k)
    base = coefficients(rloo, group)
    assert coefficients(whole, group) == pytest.approx(scaled(base, 2 * 0.3 * k), **EXACT)
    assert coefficients(halved, group) == pytest.approx(scaled(base, k), **EXACT)
    away = drawn(seed, k, moved=0.3)  # RLOO's KL stands still at the sampler's
    apart = np.array(coefficients(halved, away)) - k * np.array(coefficients(rloo, away))
    assert np.abs(apart).max() > 1e-2


def test_copg_without_pull_is_reinforce_against_the_other_sample() -> None:
    """β → 0: normalised it has the coefficients −ΔR and +ΔR, squared it has none."""
    group = drawn(3, 2)
    gap = group[0]["reward"] - group[1]["reward"]
    assert coefficients(preset("copg", beta=1e-9), group) == pytest.approx([-gap, gap], rel=1e-8)
    other = term(baseline="other")[1]
    assert coefficients(other, group) == pytest.approx([-gap / 2, gap / 2], **EXACT)
    assert max(map(abs, coefficients(preset("copg", beta=1e-9, normalized=False), group))) < 1e-8
    strong = coefficients(preset("copg", beta=1.0), group)
    assert abs(strong[0] + gap) > 1e-2


@pytest.mark.parametrize("k", [2, 4])
def test_copg_is_k_times_the_variance(k: int) -> None:
    group = drawn(4, k)
    ahead = [r["reward"] - 0.3 * (r["logp"] - r["ref_logp"]) for r in group]
    loss = judged(preset("copg", k, beta=0.3, normalized=False), group)["loss"]
    assert loss == pytest.approx(k * statistics.variance(ahead), rel=1e-12)
    assert loss != pytest.approx(k * statistics.pvariance(ahead), rel=1e-3)


def test_copg_on_its_own_samples_is_minus_k_times_the_policy_gradient() -> None:
    """J = E[R] − β·KL(π‖ref), differentiated here by differences of its value."""
    words, policy = BANDIT, BANDIT.drawn(1)[0]
    loss = preset("copg", 2, beta=0.3)
    toy = Toy((1,) * 6, np.log(words.reference.law), np.log(policy.law), np.array(words.rewards))
    rows = rows_of_data(loss, toy)  # groups of three
    found = Expected(loss, toy, rows).gradient(np.concatenate([policy.logits, np.zeros(7)]))[:6]

    def objective(logits: np.ndarray) -> float:
        p = np.exp(log_softmax(logits))
        return float(p @ (toy.rewards - 0.3 * (np.log(p) - toy.reference)))

    slope = differences(objective, policy.logits)
    assert found == pytest.approx(-3 * slope, abs=1e-8)
    off = Expected(loss, TOY_OF(toy), rows_of_data(loss, TOY_OF(toy)))
    away = off.gradient(np.concatenate([policy.logits, np.zeros(7)]))[:6]
    assert np.abs(away + 3 * slope).max() > 1e-2


def TOY_OF(toy: Toy) -> Toy:
    return Toy(toy.lengths, toy.reference, np.full(toy.size, -math.log(toy.size)), toy.rewards)


def differences(function: Any, at: np.ndarray, h: float = 1e-6) -> np.ndarray:
    moves = h * np.eye(len(at))
    return np.array([(function(at + m) - function(at - m)) / (2 * h) for m in moves])


# ---- 20 to 23: PPO, RLOO, GRPO --------------------------------------------------------------------------------


@pytest.mark.parametrize("surrogate", ["clipped", "importance", "soft", "cispo"])
def test_at_the_first_inner_step_every_surrogate_is_reinforce(surrogate: str) -> None:
    """With the same advantages and ρ = 1; away from it the ratio counts."""
    given = {"whiten": False, "kl": None}
    ppo = preset("ppo", 2, {"surrogate": {"kind": surrogate}}, **given)
    reinforce = preset("ppo", 2, {"surrogate": {"kind": "reinforce"}}, **given)
    for moved, same in ((0.0, True), (0.1, False)):
        group = [
            {**r, "advantage": [0.1 * i - 0.2 for i in range(r["length"])], "value": [0.0] * r["length"],
             "return": [0.0] * r["length"], "old_value": [0.0] * r["length"]}
            for r in drawn(5, 2, moved=moved, tokens=True)
        ]  # fmt: skip
        found, wanted = flat(coefficients(ppo, group)), flat(coefficients(reinforce, group))
        assert (found == pytest.approx(wanted, **EXACT)) == same


LOO = {
    "baseline": {"kind": "leave_one_out"},
    "surrogate": {"kind": "clipped"},
    "aggregation": "sequence_mean",
}


def test_ppo_with_the_others_mean_for_a_critic_is_rloo() -> None:
    """λ = γ = 1, one inner step, the KL in the last token's reward: on every token RLOO's coefficient."""
    ppo, rloo = term(3, **LOO, kl=SEQUENCE)[1], preset("rloo", 3, kl=SEQUENCE)
    group = drawn(6, 3, tokens=True)
    sums = [{**r, **{n: sum(r[n]) for n in ("logp", "old_logp", "ref_logp")}} for r in group]
    per_token = coefficients(ppo, group)
    for tokens, whole in zip(per_token, coefficients(rloo, sums), strict=True):
        assert tokens == pytest.approx([whole] * len(tokens), **EXACT)


def test_a_penalty_token_by_token_is_rloo_in_expectation_alone() -> None:
    """The rewards to go drop the KL that is past: another number a sample, the same gradient."""
    policy = TOKENS.drawn(1)[0]
    by_token = term(2, **LOO, kl={**SEQUENCE, "granularity": "token"})[1]
    whole = preset("rloo", 2, kl=SEQUENCE)
    assert by_token.advantage is not None
    assert whole.advantage is None
    ours, theirs = (expected(loss, TOKENS, 2, policy) for loss in (by_token, whole))
    assert ours == pytest.approx(theirs, abs=1e-14)
    assert np.abs(theirs).max() > 1e-2
    columns = Surrogate(by_token.terms[0], Groups(TOKENS, 2))._columns(policy)
    assert any(
        abs(row[0] - row[-1]) > 1e-2 for group in columns for row in group
    )  # tokens differ within a response


@pytest.mark.parametrize("k", [2, 3, 6])
def test_dr_grpo_is_rloo_times_k_minus_1_over_k(k: int) -> None:
    group = drawn(7, k, tokens=True)
    sums = [{**r, **{n: sum(r[n]) for n in ("logp", "old_logp", "ref_logp")}} for r in group]
    rloo = coefficients(preset("rloo", k, kl=None), sums)
    found = coefficients(preset("dr_grpo", k), group)
    for tokens, whole in zip(found, rloo, strict=True):
        assert [8 * c for c in tokens] == pytest.approx([(k - 1) / k * whole] * len(tokens), **EXACT)
    std = statistics.stdev(r["reward"] for r in group)
    grpo = coefficients(preset("grpo", k, {"aggregation": "sequence_mean"}, kl=None), group)
    assert flat(grpo) == pytest.approx([8 * c / (std + 1e-4) for c in flat(found)], rel=1e-12)


def test_grpo_with_two_samples_forgets_how_much_better_one_is() -> None:
    """±1/√2 for the better and the worse, over k = 2; RLOO keeps the size."""
    plain = {"aggregation": "sequence_mean", "baseline": {"kind": "group_mean", "std": True, "epsilon": 0}}
    grpo, rloo = preset("grpo", 2, plain, kl=None), preset("rloo", 2, kl=None)
    group = drawn(8, 2, tokens=True)
    for better in (0.01, 1.0, 300.0):
        rows = [{**group[0], "reward": better}, {**group[1], "reward": 0.0}]
        half = 1 / math.sqrt(2) / 2
        for loss, size in ((grpo, half), (rloo, better / 2)):
            first, second = coefficients(loss, rows)
            assert first == pytest.approx([-size] * len(group[0]["logp"]), rel=1e-12)
            assert second == pytest.approx([size] * len(group[1]["logp"]), rel=1e-12)


# ---- 24 to 26: where a KL stands ------------------------------------------------------------------------------


def held(estimator: str, placement: str, baseline: str = "none", granularity: str = "sequence") -> Loss:
    kl = {"estimator": estimator, "placement": placement, "granularity": granularity, "beta": 0.3}
    return term(2, kl=kl, baseline=baseline)[1]


def test_k2_in_the_loss_is_k1_in_the_reward_sample_by_sample() -> None:
    """Without a baseline, and with u of the policy itself: a KL that stands still is another."""
    group = drawn(9, 2)
    loss, reward = held("k2", "loss"), held("k1", "reward")
    assert coefficients(loss, group) == pytest.approx(coefficients(reward, group), **EXACT)
    away = drawn(9, 2, moved=0.3)
    assert coefficients(loss, away) != pytest.approx(coefficients(reward, away), rel=1e-2)


def test_with_a_baseline_in_expectation_alone() -> None:
    group, policy = drawn(10, 2), BANDIT.drawn(1)[0]
    loss, reward = held("k2", "loss", "leave_one_out"), held("k1", "reward", "leave_one_out")
    assert coefficients(loss, group) != pytest.approx(coefficients(reward, group), rel=1e-2)
    ours, theirs = (expected(x, BANDIT, 2, policy) for x in (loss, reward))
    assert ours == pytest.approx(theirs, abs=1e-14)


def test_four_ways_to_the_same_pull() -> None:
    """Ratio·k1, ratio·k3, k1 in the reward and k2 in the loss: one gradient in expectation, four in a sample."""
    policy = TOKENS.drawn(1)[0]
    ways = [held("k1", "ratio"), held("k3", "ratio"), held("k1", "reward"), held("k2", "loss")]
    first, *others = (expected(x, TOKENS, 2, policy) for x in ways)
    for other in others:
        assert other == pytest.approx(first, abs=1e-14)
    group = drawn(11, 2)
    single = [coefficients(x, group) for x in ways]
    assert single[0] != pytest.approx(single[1], rel=1e-2)
    assert single[0] != pytest.approx(single[2], rel=1e-2)
    wrong = expected(held("k3", "loss"), TOKENS, 2, policy)
    assert np.abs(wrong - first).max() > 1e-3


def test_token_by_token_the_same_ways_give_the_stepwise_gradient() -> None:
    policy = TOKENS.drawn(1)[0]
    steps = [expected(held(e, p, granularity="token"), TOKENS, 2, policy)
             for e, p in (("k1", "ratio"), ("k3", "ratio"), ("k2", "loss"))]  # fmt: skip
    assert steps[0] == pytest.approx(steps[1], abs=1e-14)
    assert steps[0] == pytest.approx(steps[2], abs=1e-14)
    whole = expected(held("k1", "reward", granularity="token"), TOKENS, 2, policy)
    assert np.abs(whole - steps[0]).max() > 1e-3


def test_k3_in_the_loss_pulls_by_the_other_kl() -> None:
    """β·∇KL(ref‖π), by differences of its value; near the reference that of k2, to first order."""
    policy, ref = BANDIT.drawn(1)[0], BANDIT.reference
    pull = expected(held("k3", "loss"), BANDIT, 2, policy) - expected(term(2)[1], BANDIT, 2, policy)
    other = differences(lambda x: -0.3 * float(ref.law @ log_softmax(x)), policy.logits)
    assert pull == pytest.approx(other, abs=1e-8)
    gaps = []
    for t in (0.1, 0.01):
        near = BANDIT.policy(ref.logits + t * policy.logits)
        k2, k3 = (expected(held(e, "loss"), BANDIT, 2, near) for e in ("k2", "k3"))
        gaps.append(np.abs(k2 - k3).max())
    assert gaps[0] / gaps[1] == pytest.approx(100, rel=0.15)


# ---- 14: the first step of self-play --------------------------------------------------------------------------


@pytest.mark.parametrize("baseline", [0.5, 0.0, 0.8])
def test_the_first_step_of_sppo_is_a_policy_gradient_whatever_the_constant(
    baseline: float, tmp_path: Path
) -> None:
    """−2η·∇E[P(y ≻ π_t)] where π = π_t; a step later the constant counts."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"objective: {{preset: sppo, eta: 3, partition: {baseline}}}\n"
        "model: {policy: x/y}\ndata: {kind: pointwise, source: x/y}\n"
    )
    loss = lowered(spec, files=False).loss
    toy = Toy(TOY.lengths, TOY.sampler, TOY.sampler, TOY.rewards)
    law = Expected(loss, toy, rows_of_data(loss, toy))

    def found(logits: np.ndarray) -> np.ndarray:
        return law.gradient(np.concatenate([logits, np.zeros(toy.size + 1)]))[: toy.size]

    rates = win_rates(toy)
    slope = differences(lambda x: float(np.exp(log_softmax(x)) @ rates), toy.sampler)
    assert found(toy.sampler) == pytest.approx(-6 * slope, abs=1e-9)
    moved = toy.sampler + np.array([0.3, 0.0, -0.2, 0.0])
    later = differences(lambda x: float(np.exp(log_softmax(x)) @ rates), moved)
    assert np.abs(found(moved) + 6 * later).max() > 1e-2

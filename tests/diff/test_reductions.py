"""The reductions between objectives: what algebra proves, and both sides of it in numbers."""

from __future__ import annotations

import math
import random
from itertools import combinations

import pytest

from alignc.diff.decide import trained_leaves
from alignc.diff.expectation import WHEN, Table, expected, table
from alignc.diff.sides import side_of

from .specs import as_group, at, conditional, diff, loss, pairs, response, slopes, spec

DPO = spec("dpo, beta: 0.1")
COPG = spec("copg, beta: 0.1, normalized: false", "scored")
RATIO = "score: {of: log_ratio, beta: %s, anchor: %s}"


def term(kind: str = "preference", **axes: str) -> str:
    shown = ", ".join(f"{k}: {v}" for k, v in axes.items())
    return f"{{name: own, kind: {kind}, {shown}}}"


def test_copg_is_ipo_where_the_rewards_differ_by_a_half() -> None:
    ipo = spec("ipo, tau: 0.1")
    found = conditional(diff(COPG, ipo), "differ by 1/2")
    assert (found.verdict, found.factor) == ("equal_up_to_factor", pytest.approx(0.1**2))
    normalised = conditional(diff(spec("copg, beta: 0.1", "scored"), ipo), "differ by 1/2")
    assert normalised.factor == pytest.approx(0.1 / 2)
    for pair in pairs():
        pair["chosen"]["reward"], pair["rejected"]["reward"] = 0.25, -0.25
        assert loss(COPG, as_group(pair)) == pytest.approx(0.01 * loss(ipo, pair), rel=1e-12)


def test_ipo_is_gpo_with_a_squared_link() -> None:
    gpo, ipo = spec(term(score="{of: log_ratio, beta: 0.6}", link="'(z-1)**2'")), spec("ipo, tau: 0.3")
    found = diff(gpo, ipo)
    assert (found.verdict, found.factor, found.constant) == ("equal_up_to_factor", pytest.approx(0.36), None)
    for pair in pairs():
        assert loss(gpo, pair) == pytest.approx(4 * 0.3**2 * loss(ipo, pair), rel=1e-12)


def test_population_ipo_is_sampled_ipo_in_expectation() -> None:
    population = spec(term(score="{of: log_ratio}", margin="{kind: reward_gap, scale: 2}", link="squared"))
    ipo = spec("ipo, tau: 0.5")
    found = diff(ipo, population)
    assert found.verdict == "different"
    expected_equal = conditional(found, "labelled by P(y ≻ y′)")
    assert (expected_equal.verdict, expected_equal.factor) == ("equal_in_expectation", 1)
    other = diff(spec("ipo, tau: 0.4"), population)
    assert "equal_in_expectation" not in {c.verdict for c in other.conditional}


def test_conservative_and_robust_dpo_are_dpo_plus_a_line() -> None:
    rows, epsilon = pairs(), 0.2
    conservative = spec("dpo, beta: 0.1, label_smoothing: 0.2")
    robust = spec("robust_dpo, beta: 0.1, label_smoothing: 0.2")
    line = spec(term(score="{of: log_ratio, beta: 0.1}", link="'softplus(-z)+z/5'"))
    assert diff(conservative, line).verdict == "equal"
    slope = spec(term(score="{of: log_ratio, beta: 0.1}", link="'softplus(-z)-z/3'"))
    assert diff(robust, slope).verdict == "equal"
    for pair in rows:
        z = 0.1 * sum(
            s * (pair[y]["logp"] - pair[y]["ref_logp"]) for y, s in (("chosen", 1), ("rejected", -1))
        )
        assert loss(conservative, pair) == pytest.approx(loss(DPO, pair) + epsilon * z, rel=1e-12)
        assert loss(robust, pair) == pytest.approx(
            loss(DPO, pair) - epsilon / (1 - 2 * epsilon) * z, rel=1e-12
        )


@pytest.mark.parametrize("name", ["dpo", "robust_dpo"])
def test_no_smoothing_is_dpo(name: str) -> None:
    assert diff(spec(f"{name}, beta: 0.1, label_smoothing: 0"), DPO).verdict == "equal"


def test_r_dpo_is_dpo() -> None:
    r_dpo = spec("r_dpo, beta: 0.1, alpha: 0.05")
    assert diff(spec("r_dpo, beta: 0.1, alpha: 0"), DPO).verdict == "equal"
    assert conditional(diff(r_dpo, DPO), "same length").verdict == "equal"
    assert conditional(diff(r_dpo, DPO), "alpha = 0").verdict == "equal"
    for pair in pairs():
        shorter = {y: {**r, "ref_logp": r["ref_logp"] - 0.05 / 0.1 * r["length"]} for y, r in pair.items()}
        assert loss(r_dpo, pair) == pytest.approx(loss(DPO, shorter), rel=1e-12)


def test_simpo_is_dpo_with_a_uniform_reference() -> None:
    simpo = spec("simpo, beta: 2, gamma: 0")
    found = conditional(diff(simpo, DPO), "20 tokens", "equally likely")
    assert found.verdict == "equal"
    for pair in pairs(length=20, ref_logp=-20 * math.log(50)):
        assert loss(simpo, pair) == pytest.approx(loss(DPO, pair), rel=1e-12)


def test_simpo_is_length_normalised_dpo_with_a_uniform_reference() -> None:
    normalised = spec(
        term(score="{of: log_ratio, reduce: mean, beta: 2}", margin="{kind: constant, value: 0.5}")
    )
    simpo = spec("simpo, beta: 2, gamma: 0.5")
    assert conditional(diff(normalised, simpo), "every token the same probability").verdict == "equal"
    for pair in pairs():
        uniform = {y: {**r, "ref_logp": -r["length"] * math.log(50)} for y, r in pair.items()}
        assert loss(normalised, uniform) == pytest.approx(loss(simpo, pair), rel=1e-12)


def test_cpo_without_sft_is_dpo_where_the_reference_is_indifferent() -> None:
    cpo = spec("cpo, beta: 0.1, sft_weight: 0")
    found = diff(cpo, DPO)
    assert found.verdict == "different"
    assert conditional(found, "equally likely").verdict == "equal"
    full = conditional(diff(spec("cpo, beta: 0.1"), DPO), "sft_weight = 0", "equally likely")
    assert full.verdict == "equal"
    for pair in pairs(ref_logp=-3):
        assert loss(cpo, pair) == pytest.approx(loss(DPO, pair), rel=1e-12)


def test_the_odds_of_a_sum_are_its_probability() -> None:
    """lo(l) = l − log(1 − e^l) → l: ORPO over sums is −l_w + λ·softplus(−(l_w − l_l))."""
    orpo = spec("orpo, lambda: 0.3")
    for depth, room in ((5, 1e-2), (20, 1e-8), (40, 1e-14)):
        row = {"chosen": {"logp": -depth, "length": 1}, "rejected": {"logp": -depth - 1.5, "length": 1}}
        limit = depth + 0.3 * math.log1p(math.exp(-1.5))
        assert loss(orpo, row) == pytest.approx(limit, abs=room)


def test_hard_sppo_is_ipo_with_an_anchor() -> None:
    eta = 10
    hard = spec(f"sppo, eta: {eta}, hard: true")
    score = RATIO % (1, "previous_iterate")
    parts = {
        "score": score.removeprefix("score: "),
        "margin": f"{{kind: constant, value: {eta}}}",
        "link": "squared",
    }
    anchored = spec(term(weight="0.5", center="1", **parts))
    assert diff(hard, anchored).verdict == "equal"
    ipo = spec("ipo, tau: 0.05")
    for pair in pairs():
        total = sum(r["logp"] - r["ref_logp"] for r in pair.values())
        assert loss(hard, pair) == pytest.approx(loss(ipo, pair) / 2 + total**2 / 2, rel=1e-12)


def test_soft_sppo_is_copg_with_an_anchor() -> None:
    """SPPO(mean) = (η²/4)·CoPG_sq(R = P, β = 1/η) + ¼(u_w + u_l − η(P_w + P_l − 1))²."""
    eta = 10
    sppo = spec(f"sppo, eta: {eta}", "scored")
    for pair in pairs():
        for r in pair.values():
            r["reward"] = r["win_rate"]
        total = sum(r["logp"] - r["ref_logp"] - eta * r["win_rate"] for r in pair.values()) + eta
        other = eta**2 / 4 * loss(COPG, as_group(pair)) + total**2 / 4
        assert loss(sppo, as_group(pair)) == pytest.approx(other, rel=1e-12)
    score = RATIO % (1, "previous_iterate")
    gap = term(
        weight="0.25", center="1", score=score.removeprefix("score: "),
        margin=f"{{kind: reward_gap, scale: {eta}}}", link="squared",
    )  # fmt: skip
    found = conditional(diff(sppo, spec(gap, "scored")), "add up to 1", "rewards are the win rates")
    assert (found.verdict, found.factor) == ("equal", 1)


def test_sppo_is_dro_with_its_value_held() -> None:
    sppo, dro = spec("sppo, eta: 10", "pointwise"), spec("dro, tau: 0.1", "pointwise")
    found = conditional(diff(sppo, dro), "one reference", "rewards are the win rates", "held at 1/2")
    assert (found.verdict, found.factor) == ("equal_up_to_factor", pytest.approx(2 * 10**2))
    for pair in pairs(value=0.5):
        row = {"completion": {**pair["chosen"], "reward": pair["chosen"]["win_rate"]}, "label": True}
        assert loss(sppo, row) == pytest.approx(200 * loss(dro, row), rel=1e-12)


def test_a_half_is_the_mean_win_rate() -> None:
    """Over any matrix of preferences with P_ij + P_ji = 1 the win rates average to ½, SPPO's constant."""
    drawn = table(random.Random(1), (), WHEN["each_update"])
    mean = sum(
        p * q * w
        for p, row in zip(drawn.sampler, drawn.wins, strict=True)
        for q, w in zip(drawn.sampler, row, strict=True)
    )
    assert mean == pytest.approx(0.5, abs=1e-15)
    assert sum(map(sum, drawn.wins)) / len(drawn.wins) ** 2 == pytest.approx(0.5, abs=1e-15)


def win_rate(eta: float, baseline: float) -> str:
    score = RATIO % (1, "previous_iterate")
    target = f"{{kind: win_rate, eta: {eta}, baseline: {baseline}}}"
    return term(
        "pointwise", direction="up", score=score.removeprefix("score: "), target=target, link="squared"
    )


def test_any_constant_baseline_has_the_same_expected_gradient() -> None:
    found = diff(spec("sppo, eta: 10", "pointwise"), spec(win_rate(10, 0.2), "pointwise"))
    assert found.verdict == "different"
    assert found.witness is not None
    sampled = conditional(found, "the policy itself sampled")
    assert (sampled.verdict, sampled.factor) == ("equal_in_expectation", 1)
    assert (
        diff(spec("sppo, eta: 10", "pointwise"), spec(win_rate(11, 0.5), "pointwise")).verdict == "different"
    )


def logits(at: Table, worth: list[float]) -> list[float]:
    """∇_θ Σ_y π(y)·worth(y), for worth that does not move: π(θ)·(worth − E worth)."""
    mean = sum(p * w for p, w in zip(at.policies["l"], worth, strict=True))
    return [p * (w - mean) for p, w in zip(at.policies["l"], worth, strict=True)]


def expected_gradient(of: object, at: Table) -> list[float]:
    side = side_of(of[0], of[1])  # type: ignore[index]
    return expected(side, at, trained_leaves((side, side), {}))


def test_sppo_at_its_start_climbs_the_win_rate() -> None:
    eta, drawn = 7.0, table(random.Random(5), ("q",), WHEN["each_update"])
    start = Table(
        {**drawn.policies, "q": drawn.policies["l"]}, drawn.sampler, drawn.columns, drawn.wins, drawn.good
    )
    found = expected_gradient(spec(win_rate(eta, 0.3), "pointwise"), start)
    assert found == pytest.approx([-2 * eta * g for g in logits(start, list(start.columns["P"]))], rel=1e-12)


def test_rebel_is_copg_with_another_reference() -> None:
    rebel = spec("rebel, eta: 10", "scored")
    assert conditional(diff(rebel, COPG), "one reference").verdict == "equal"
    for pair in pairs():
        for r in pair.values():
            r["old_logp"] = r["ref_logp"]
        assert loss(rebel, as_group(pair)) == pytest.approx(loss(COPG, as_group(pair)), rel=1e-12)


def test_rebels_code_is_eta_squared_times_the_paper() -> None:
    code = term(
        pairs="all",
        score="{of: log_ratio, anchor: rollout}",
        margin="{kind: reward_gap, scale: 3}",
        link="squared",
    )
    found = diff(spec(code, "scored"), spec("rebel, eta: 3", "scored"))
    assert (found.verdict, found.factor) == ("equal_up_to_factor", pytest.approx(9))


def group(count: int, seed: int = 2) -> dict[str, list[dict[str, float]]]:
    rng = random.Random(seed)
    return {"completions": [response(rng) for _ in range(count)]}


def regularised(row: dict[str, list[dict[str, float]]], beta: float = 0.1) -> list[float]:
    return [r["reward"] - beta * (r["logp"] - r["ref_logp"]) for r in row["completions"]]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_copg_has_the_gradient_of_leave_one_out(count: int) -> None:
    """∇CoPG-k = 2βk·∇RLOO(k), normalised k·∇RLOO(k); RLOO's gradient on log π(y_i) is −A_i/k."""
    row = group(count)
    worth = regularised(row)
    loo = [-(w - (sum(worth) - w) / (count - 1)) / count for w in worth]
    squared = [g["logp"] for g in at(COPG, row)["examples"][0]["gradient"]["completions"]]
    assert squared == pytest.approx([2 * 0.1 * count * g for g in loo], rel=1e-10)
    found = at(spec("copg, beta: 0.1", "scored"), row)["examples"][0]["gradient"]["completions"]
    assert [g["logp"] for g in found] == pytest.approx([count * g for g in loo], rel=1e-10)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_copg_is_a_variance(count: int) -> None:
    row = group(count)
    worth = regularised(row)
    mean = sum(worth) / count
    variance = sum((w - mean) ** 2 for w in worth) / (count - 1)
    assert loss(COPG, row) == pytest.approx(count * variance, rel=1e-12)
    assert loss(COPG, row) == pytest.approx(
        sum((x - y) ** 2 for x, y in combinations(worth, 2)) / (count - 1), rel=1e-12
    )


def test_normalised_copg_is_a_multiple_of_squared_copg() -> None:
    found = diff(spec("copg, beta: 0.1", "scored"), COPG)
    assert (found.verdict, found.factor) == ("equal_up_to_factor", pytest.approx(1 / 0.2))


def test_copg_on_policy_is_the_policy_gradient() -> None:
    """E[∇CoPG] = −2·∇(E[R] − β·KL) for a pair; a group of k has k·RLOO, so −3 for the groups of three here."""
    drawn = table(random.Random(9), ("r",), WHEN["each_update"])
    worth = [
        reward - 0.1 * math.log(p / q)
        for reward, p, q in zip(drawn.columns["R"], drawn.policies["l"], drawn.policies["r"], strict=True)
    ]
    found = expected_gradient(spec("copg, beta: 0.1", "scored"), drawn)
    assert found == pytest.approx([-3 * g for g in logits(drawn, worth)], rel=1e-9)


def test_copg_without_a_pull_is_reinforce_with_the_other_as_baseline() -> None:
    row = group(2)
    gap = row["completions"][0]["reward"] - row["completions"][1]["reward"]
    for beta, room in ((1e-2, 0.2), (1e-6, 1e-4), (1e-9, 1e-7)):
        found = at(spec(f"copg, beta: {beta}", "scored"), row)["examples"][0]["gradient"]["completions"]
        assert [g["logp"] for g in found] == pytest.approx([-gap, gap], abs=room)


def test_kto_on_pairs_is_apo_zero_at_a_reference_point_of_zero() -> None:
    kto, apo = spec("kto, beta: 0.1"), spec("apo_zero, beta: 0.1")
    found = conditional(diff(kto, apo), "reference point is 0")
    assert (found.verdict, found.factor) == ("equal", 1)
    for pair in pairs():
        assert loss(kto, pair, z0=0) == pytest.approx(loss(apo, pair), rel=1e-12)
        assert slopes(kto, pair) == pytest.approx(slopes(apo, pair), rel=1e-12)
    assert diff(kto, apo).verdict == "different"


def kl(estimator: str, correction: str = "none") -> str:
    return f"{{name: own, kind: kl, estimator: {estimator}, correction: {correction}}}"


@pytest.mark.parametrize("estimator", ["k1", "k3"])
def test_a_ratio_with_its_gradient_is_k2_in_expectation(estimator: str) -> None:
    """On the policy's own samples ρ·k1 and ρ·k3, ρ differentiated, have the gradient of the KL, as k2 has."""
    a, b = spec(kl(estimator, "ratio"), "demonstrations"), spec(kl("k2"), "demonstrations")
    found = diff(a, b)
    assert found.verdict == "different"
    assert found.witness is not None
    sampled = conditional(found, "the policy itself sampled")
    assert (sampled.verdict, sampled.factor) == ("equal_in_expectation", pytest.approx(1))


@pytest.mark.parametrize(("a", "b"), [("k3", "k2"), ("abs", "k2"), ("k1", "k2")])
def test_other_estimators_in_the_loss_are_not_k2(a: str, b: str) -> None:
    assert diff(spec(kl(a), "demonstrations"), spec(kl(b), "demonstrations")).verdict == "different"


def test_k2_in_the_loss_descends_the_kl() -> None:
    drawn = table(random.Random(3), ("r",), WHEN["each_update"])
    ratio = [math.log(p / q) for p, q in zip(drawn.policies["l"], drawn.policies["r"], strict=True)]
    found = expected_gradient(spec(kl("k2"), "demonstrations"), drawn)
    assert found == pytest.approx(logits(drawn, ratio), rel=1e-9)
    nothing = expected_gradient(spec(kl("k1"), "demonstrations"), drawn)
    assert nothing == pytest.approx([0, 0, 0, 0], abs=1e-15)

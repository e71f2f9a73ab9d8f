"""Policy gradients by enumeration: advantages by hand, what is ascended, and that wrong statements fail."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np
import pytest
import torch

from alignc.contract.needs import Advantage, baseline_from
from alignc.runtime.rollout.advantage import advantages
from alignc.verify import policy as module
from alignc.verify import verify
from alignc.verify.policy import ascends, policy_gradients
from alignc.verify.policy_claims import NOTHING, Setting, claimed_divergence
from alignc.verify.policy_claims import settings as settings_of
from alignc.verify.policy_optimum import goal, policy_optimum
from alignc.verify.response_space import BANDIT, TOKENS
from alignc.verify.returns import gae, group_advantages, paid, returns

from .online import online, term

KL = {"estimator": "k1", "placement": "reward", "beta": 0.3}


def settings(k: int = 2, **axes: Any) -> dict[str, Setting]:
    spec, loss = term(k, **axes)
    return {s.space.name: s for s in settings_of(spec, loss)}


# ---- advantages -----------------------------------------------------------------------------------------------


def test_returns_by_hand() -> None:
    assert paid(1.0, 3, [0.1, 0.2, 0.3]) == pytest.approx([-0.1, -0.2, 0.7])
    assert paid(1.0, 2, 0.25) == [0.0, 0.75]
    assert returns([1.0, 2.0, 4.0], 0.5) == [3.0, 4.0, 4.0]
    assert gae([0.0, 1.0], [0.5, 0.25], 1.0, 0.0) == [-0.25, 0.75]
    assert gae([0.0, 1.0], [0.5, 0.25], 1.0, 1.0) == [0.5, 0.75]  # the return less the value
    assert gae([0.0, 1.0], [0.5, 0.25], 0.5, 0.5) == pytest.approx([-0.375 + 0.25 * 0.75, 0.75])


BASELINES = (
    {"kind": "none"}, {"kind": "constant", "value": 0.3}, {"kind": "leave_one_out"}, {"kind": "other"},
    {"kind": "batch_mean"}, {"kind": "value"}, {"kind": "group_mean", "std": False, "ddof": 1, "epsilon": 0.1},
    {"kind": "group_mean", "std": True, "ddof": 1, "epsilon": 0.1},
    {"kind": "group_mean", "std": True, "ddof": 0, "epsilon": 0.1},
)  # fmt: skip


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("baseline", BASELINES, ids=lambda b: "-".join(map(str, b.values())))
def test_the_runtime_computes_the_same(baseline: dict[str, Any], whiten: bool) -> None:
    """Two implementations of the same definitions: tensors with masks, and lists."""
    rng, lengths = random.Random(str(baseline)), (3, 1) if baseline["kind"] == "other" else (3, 1, 2)
    rewards = [rng.gauss(0, 1) for _ in lengths]
    penalties, values = ([[rng.gauss(0, 1) for _ in range(n)] for n in lengths] for _ in range(2))
    how = Advantage("reward", True, "token", baseline_from(baseline), 0.9, 0.8, whiten)
    amounts = [paid(r, n, p) for r, n, p in zip(rewards, lengths, penalties, strict=True)]
    plain = group_advantages(how, amounts, values)
    padded = [torch.tensor([[[*row, *[0.0] * (3 - len(row))] for row in x]], dtype=torch.float64)
              for x in (penalties, values, [[1.0] * n for n in lengths])]  # fmt: skip
    reward = torch.tensor([rewards], dtype=torch.float64)
    found = advantages(how, reward=reward, penalty=padded[0], value=padded[1], mask=padded[2].bool())[
        "advantage"
    ]
    for row, length, wanted in zip(found[0].tolist(), lengths, plain, strict=True):
        assert row[:length] == pytest.approx(wanted, rel=1e-12)


def test_values_solve_bellman_s_equation() -> None:
    policy = TOKENS.drawn(1)[0]
    amounts = [paid(r, len(s), [0.1] * len(s)) for r, s in zip(TOKENS.rewards, TOKENS.sentences, strict=True)]
    values = policy.values(amounts, 0.9)
    for first in (0, 1):
        ends = [i for i, s in enumerate(TOKENS.sentences) if s[0] == first]
        chances = np.exp(policy.logps[TOKENS.states[(first,)]])
        assert values[(first,)] == pytest.approx(
            sum(p * amounts[i][1] for p, i in zip(chances, ends, strict=True))
        )
    chances = np.exp(policy.logps[0])
    stop = amounts[TOKENS.sentences.index((2,))][0]
    later = chances[:2] @ [-0.1 + 0.9 * values[(i,)] for i in (0, 1)]
    assert values[()] == pytest.approx(later + chances[2] * stop)


# ---- what is ascended -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("baseline", "factor"),
    [
        ("none", 1),
        ("leave_one_out", 1),
        ("group_mean", 2 / 3),
        ({"kind": "constant", "value": 9}, 1),
        ("batch_mean", 2 / 3),
    ],
)
def test_a_baseline_s_factor(baseline: Any, factor: float) -> None:
    for setting in settings(3, baseline=baseline, kl=KL).values():
        seen = ascends(setting)
        assert seen.name == "KL(π‖ref)"
        assert seen.factors == [pytest.approx((factor, 0.3 * factor))] * 3


def test_a_group_s_mean_makes_the_kl_in_the_loss_stronger() -> None:
    """The reward shrinks by (k − 1)/k, the KL does not."""
    kl = {"estimator": "k2", "placement": "loss", "granularity": "sequence", "beta": 0.3}
    seen = ascends(settings(3, baseline="group_mean", kl=kl)["two tokens"])
    assert seen.factors == [pytest.approx((2 / 3, 0.3))] * 3


def test_length_bias() -> None:
    """The mean over a response's own tokens ascends E[R/n], not E[R]."""
    setting = settings(aggregation="token_mean")["two tokens"]
    assert ascends(setting).name is None
    assert ascends(setting).angle > 2
    policy = TOKENS.drawn(1)[0]
    found = -setting.surrogate().gradient(policy, policy)
    worth = [r / len(s) for r, s in zip(TOKENS.rewards, TOKENS.sentences, strict=True)]
    assert found == pytest.approx(policy.slope(worth), abs=1e-14)


def test_fixed_length_and_the_mean_of_all_tokens_keep_the_direction() -> None:
    assert (
        ascends(settings(aggregation="fixed_length")["two tokens"]).factors == [pytest.approx((1 / 8, 0))] * 3
    )
    seen = ascends(settings(aggregation="global_token_mean")["two tokens"])
    lengths = np.array([len(s) for s in TOKENS.sentences])
    assert [f[0] for f in seen.factors] == pytest.approx([1 / (p.law @ lengths) for p in TOKENS.drawn(3)])


def test_a_wrong_critic() -> None:
    """λ = 1: any critic is unbiased. λ < 1: the exact one alone."""
    for weight, wrong, unbiased in ((1.0, 0.5, True), (0.5, 0.0, True), (0.5, 0.5, False)):
        setting = settings(baseline="value", gae_lambda=weight, kl=KL)["two tokens"]
        assert (ascends(setting, critic=wrong).name == "KL(π‖ref)") == unbiased


def test_a_kl_that_stands_still() -> None:
    """W213: with whole ratios later inner steps ascend J + β·KL(π‖old), exactly."""
    axes = {"surrogate": "importance", "ratio": "sequence", "baseline": "leave_one_out"}
    spec, loss = term(2, **axes, kl={**KL, "granularity": "sequence"})
    later = [c for c in policy_gradients(spec, loss) if c.about.startswith("later")]
    assert [c.holds for c in later] == [True, True]
    assert all("W213" in c.says and "factors 1 0.3 0.3" in c.found for c in later)


def test_random_combinations_are_what_is_said() -> None:
    """Every axis drawn at random: the derived gradient, and what is ascended, or that nothing is."""
    rng, tried = random.Random(5), 0
    for _ in range(16):
        axes = {
            "baseline": rng.choice(["none", "leave_one_out", "group_mean", "batch_mean", "value"]),
            "surrogate": rng.choice(["reinforce", "importance", "clipped", "soft", "cispo"]),
            "ratio": rng.choice(["token", "sequence", "sequence_mean"]),
            "aggregation": rng.choice(["token_mean", "sequence_mean", "fixed_length"]),
            "discount": rng.choice([1, 1, 0.9]),
            "kl": {"estimator": rng.choice(["k1", "k2", "k3"]), "placement": rng.choice(["reward", "loss", "ratio"]),
                   "granularity": rng.choice(["token", "sequence"]), "beta": 0.4},
        }  # fmt: skip
        setting = settings(2, **axes)["two tokens"]
        claims = [module._derived(setting), module._first_step(setting)]
        assert [c for c in claims if not c.holds] == [], axes
        tried += claimed_divergence(setting)[0] is not None
    assert 3 < tried < 20  # both kinds of verdict


def test_a_wrong_statement_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = settings(2, baseline="leave_one_out", kl=KL)["one action"]
    assert module._first_step(setting).holds
    for wrong in ((NOTHING, ""), ("KL(ref‖π)", ""), (None, "bias")):
        monkeypatch.setattr(module, "claimed_divergence", lambda s, w=wrong: w)
        assert module._first_step(setting).holds is False


@pytest.mark.parametrize("words", [BANDIT, TOKENS], ids=lambda w: w.name)
def test_words(words: Any) -> None:
    """Probabilities add up to 1; scores are the gradients of log-probabilities."""
    policy, h = words.drawn(1)[0], 1e-6
    assert policy.law.sum() == pytest.approx(1)
    for i, move in itertools.product((0, len(words.sentences) - 1), range(words.size)):
        step = h * np.eye(words.size)[move]
        up, down = (sum(words.policy(policy.logits + s).tokens[i]) for s in (step, -step))
        one = policy.scores(i, [1.0] * len(words.sentences[i]))[move]
        assert one == pytest.approx((up - down) / (2 * h), abs=1e-8)


@pytest.mark.parametrize("preset", ["rloo", "reinforce", "dr_grpo", "nash_md"])
def test_presets(preset: str) -> None:
    """Those that ascend an objective on two tokens say which."""
    spec, loss = online({"preset": preset}, 2, "self_play" if preset == "nash_md" else "prompts")
    found = verify(spec, loss)
    assert [c for c in found.claims if c.holds is False] == []
    first = [c for c in found.claims if c.about.startswith("first inner step")]
    assert len(first) == 2
    assert all(c.says.startswith("ascends E[R]") and c.gap is not None and c.gap < 1e-8 for c in first)


@pytest.mark.parametrize(
    ("kl", "optimum"),
    [
        ({"estimator": "k2", "placement": "loss", "granularity": "sequence", "beta": 0.3}, "ref·exp(R/β)/Z"),
        ({"estimator": "k3", "placement": "loss", "granularity": "token", "beta": 0.3}, "ref·β/(β + ν − R)"),
        (KL, "ref·exp(R/β)/Z"),
    ],
)
def test_where_ascent_ends(kl: dict[str, Any], optimum: str) -> None:
    """Gibbs or hyperbolic, with the β that the baseline leaves."""
    setting = settings(2, baseline="group_mean", kl=kl)["one action"]
    (claim,) = policy_optimum(setting)
    assert claim.holds
    assert claim.says == optimum
    policy, rewards, _ = goal(setting)  # type: ignore[misc]
    ratio, worth = policy.law / BANDIT.reference.law, np.array(BANDIT.rewards)
    level = np.log(ratio) - worth if optimum.startswith("ref·exp") else 1 / ratio + worth
    assert np.ptp(level) < 1e-9
    strength = 1.0 if kl["placement"] == "reward" else 2.0  # the mean of two takes half of the reward away
    assert np.array(rewards) == pytest.approx(worth * 0.3 * strength)

"""What checks says of a policy gradient's KL, wherever it stands, is what its compiled loss is found to do."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from alignc.api import explain, validate
from alignc.explain.show import show
from alignc.theory.soundness import CODES
from alignc.verify.observe import multiple, observed_kind
from alignc.verify.policy import fitted
from alignc.verify.response_space import BANDIT, TOKENS, ResponseSpace
from alignc.verify.surrogate import Groups, Surrogate
from alignc.verify.toy import Array, Toy

from .online import REWARD, online, term

ESTIMATORS = ("k1", "k2", "k3", "abs", "2*u", "u**4/4", "u+3*exp(-u)")
PLACES = ("reward", "loss", "ratio")
USEFUL = {"kl", "reverse", "variation", "convex", "nonconvex"}
AXES = {"baseline": "none", "surrogate": "importance", "ratio": "token", "aggregation": "sequence_mean"}


def pull(estimator: str, placement: str, granularity: str, space: ResponseSpace) -> Surrogate:
    """Compile the policy gradient, and let every reward be 0: what is left is the pull."""
    kl = {"estimator": estimator, "placement": placement, "granularity": granularity, "beta": 1.0}
    _, loss = term(1, **AXES, kl=kl)
    return Surrogate(loss.terms[0], Groups(space, 1), rewards=(0.0,) * len(space.sentences))


def observed(estimator: str, placement: str, granularity: str) -> set[str]:
    """Judge the pull from numbers alone: its kind on one action, and token by token against the whole."""
    own, whole = (pull(estimator, placement, g, BANDIT) for g in (granularity, "sequence"))

    def gradient(logits: Array) -> Array:
        policy = BANDIT.policy(logits)
        found = own.gradient(policy, policy)
        assert found == pytest.approx(
            whole.gradient(policy, policy), abs=1e-12
        )  # one token is the whole response
        return found

    base = np.log(BANDIT.reference.law)
    kind = observed_kind(gradient, Toy((1,) * len(base), base, base, np.zeros(len(base))))
    codes = {CODES[kind]} if kind in CODES else set()
    if granularity == "token" and kind in USEFUL and not as_a_whole(estimator, placement):
        codes.add("W209")
    return codes


def as_a_whole(estimator: str, placement: str) -> bool:
    found = []
    for granularity in ("token", "sequence"):
        surrogate = pull(estimator, placement, granularity, TOKENS)
        found.append([surrogate.gradient(p, p) for p in TOKENS.drawn(3)])
    return multiple(found[0], found[1]) is not None


def reported(estimator: str, placement: str, granularity: str, folder: Path) -> set[str]:
    """Take the codes of `alignc validate` that speak of the estimator."""
    kl = {"estimator": estimator, "placement": placement, "granularity": granularity, "beta": 1.0}
    objective = {"terms": [{"name": "policy", "kind": "policy_gradient", **AXES, "kl": kl}]}
    data = {"kind": "prompts", "source": "x/y", "completions_per_prompt": 1, "reward": REWARD}
    path = folder / "spec.yaml"
    path.write_text(json.dumps({"objective": objective, "model": {"policy": "x/y"}, "data": data}), "utf-8")
    return {d.code for d in validate(path).diagnostics} & {*CODES.values(), "W209", "W210", "W211"}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_checks_say_what_the_compiled_loss_does(estimator: str, tmp_path: Path) -> None:
    places = [(p, g) for p in PLACES for g in ("token", "sequence")]
    said = {place: reported(estimator, *place, tmp_path) for place in places}
    seen = {place: observed(estimator, *place) for place in places}
    assert said == seen
    assert any(said.values())


@pytest.mark.parametrize("granularity", ["token", "sequence"])
@pytest.mark.parametrize("placement", PLACES)
def test_checks_say_what_the_whole_vocabulary_does(placement: str, granularity: str, tmp_path: Path) -> None:
    """`full`: W211 where ∇KL of whole responses is not what comes, W209 where the stepwise gradient is."""
    surrogate = pull("full", placement, granularity, TOKENS)
    policies, base = TOKENS.drawn(3), TOKENS.reference
    found = [surrogate.gradient(p, p) for p in policies]
    codes = set()
    if not np.allclose(found, [p.divergence(base) for p in policies], atol=1e-12):
        codes.add("W211")
    if np.allclose(found, [p.steps(float, base) for p in policies], atol=1e-12):
        codes.add("W209")
    assert reported("full", placement, granularity, tmp_path) == codes
    assert codes or (placement, granularity) == ("ratio", "sequence")


def test_in_reward_and_loss_together_it_is_exact(tmp_path: Path) -> None:
    """And then nothing is reported; with another strength in the loss both places are."""
    kl = {"estimator": "full", "placement": "reward", "beta": 0.1}
    gradient = {"name": "policy", "kind": "policy_gradient", **AXES, "kl": kl}
    held = {"name": "held", "kind": "kl", "estimator": "full", "weight": 0.1}
    loss = online({"terms": [gradient, held]}, 1)[1]
    rewards = (0.0,) * len(TOKENS.sentences)
    paid, kept = (Surrogate(t, Groups(TOKENS, 1), rewards=rewards) for t in loss.terms)
    for policy in TOKENS.drawn(3):
        both = paid.gradient(policy, policy) + 0.1 * kept.gradient(policy, policy)
        assert both == pytest.approx(0.1 * policy.divergence(TOKENS.reference), abs=1e-12)
    data = {"kind": "prompts", "source": "x/y", "completions_per_prompt": 1, "reward": REWARD}
    path = tmp_path / "spec.yaml"
    apart = ["W209", "W211", "W211"]
    cases = [
        ({}, {}, []),
        ({}, {"weight": 0.2}, apart),
        ({"weight": 2.0}, {"weight": 0.2}, []),
        ({"aggregation": "token_mean"}, {}, apart),
        ({"whiten": True}, {}, apart),
        ({"baseline": "batch_mean"}, {}, apart),
        ({}, {"correction": "importance"}, apart),
    ]
    for changed, other, codes in cases:
        terms = [gradient | changed, held | other]
        spec = {"objective": {"terms": terms}, "model": {"policy": "x/y"}, "data": data}
        path.write_text(json.dumps(spec), "utf-8")
        assert sorted(d.code for d in validate(path).diagnostics if d.code in ("W209", "W211")) == codes
        said = " ".join(show(explain(path)).split())
        assert ("both together descend KL(π‖ref) of whole responses" in said) == (not codes)


LENGTHS = tuple(
    itertools.product(
        ("reinforce", "importance", "clipped", "cispo"),
        ("token", "sequence", "sequence_mean"),
        ("token_mean", "sequence_mean", "fixed_length", "global_token_mean"),
        ("none", "batch_mean"),
    )
)


def weighed_by_length(axes: dict[str, str]) -> bool:
    """Tell whether the expected gradient is no multiple of ∇E[R]."""
    _, loss = term(3, **axes)
    surrogate, policies = Surrogate(loss.terms[0], Groups(TOKENS, 3)), TOKENS.drawn(2)
    left = [fitted(-surrogate.gradient(p, p), [p.slope(list(TOKENS.rewards))])[1] for p in policies]
    return max(left) > 1e-8


@pytest.mark.parametrize("baseline", ["none", "batch_mean"])
def test_length_bias_is_reported_where_it_is(baseline: str, tmp_path: Path) -> None:
    """Without a baseline and with one, and on every way through ratio, surrogate and aggregation."""
    said, seen = {}, {}
    for surrogate, ratio, aggregation, which in LENGTHS:
        if which != baseline:
            continue
        axes = {"baseline": which, "surrogate": surrogate, "ratio": ratio, "aggregation": aggregation}
        objective = {"terms": [{"name": "policy", "kind": "policy_gradient", **axes}]}
        data = {"kind": "prompts", "source": "x/y", "completions_per_prompt": 3, "max_new_tokens": 8,
                "reward": REWARD}  # fmt: skip
        path = tmp_path / "spec.yaml"
        path.write_text(
            json.dumps({"objective": objective, "model": {"policy": "x/y"}, "data": data}), "utf-8"
        )
        codes = {d.code for d in validate(path).diagnostics}
        if any(c.startswith("E") for c in codes):  # what cannot be lowered has no gradient
            continue
        key = (surrogate, ratio, aggregation)
        said[key], seen[key] = "W310" in codes, weighed_by_length(axes)
    assert said == seen
    assert len(said) > 40
    assert len(set(said.values())) == 2

"""Verdicts that must not say more than is proved: tails, group sizes, sampling laws, rollouts, strictness."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path
from typing import Any

import pytest
import sympy

from alignc.api import Compiled, lowered
from alignc.diagnostics import DiagnosticError
from alignc.diff import compare
from alignc.diff.compare import Spec
from alignc.diff.rules import RULES
from alignc.diff.strict import entails
from alignc.point.evaluate import at_point

from ..objectives.generator import draw
from ..reference_losses import LOSSES
from ..variants import ALL, Variant, compiled, example, of_spec, parameters
from .specs import conditional, diff, loss, pairs, spec


def formula(text: str, beta: float = 0.1) -> Spec:
    return spec(f"{{name: own, kind: preference, score: {{of: log_ratio, beta: {beta}}}, link: '{text}'}}")


@pytest.mark.parametrize(
    "extra",
    [
        "relu(-z-30)", "relu(z-200)", "0.001*abs(z-60)", "0.01*sigmoid(z-300)", "exp(-z-90)",
        "tanh(z-40)", "0.0000001*z",
    ],
)  # fmt: skip
def test_losses_that_part_far_away_are_different(extra: str) -> None:
    found = diff(formula("softplus(-z)"), formula(f"softplus(-z)+{extra}"))
    assert found.verdict == "different"
    assert found.witness is not None


@pytest.mark.parametrize("beta", [0.1000001, 0.10000000001])
def test_parameters_are_compared_exactly(beta: float) -> None:
    found = diff(spec("dpo, beta: 0.1"), spec(f"dpo, beta: {beta}"))
    assert found.verdict == "different"
    assert "exactly" in found.tolerance


def online(objective: dict[str, Any], k: int = 2, kind: str = "prompts", *, train: str = "") -> Spec:
    overrides = [f"data.completions_per_prompt={k}", *([train] if train else [])]
    found = of_spec(objective, kind, overrides)
    return found.spec, found.loss, found.needs


K1 = {"estimator": "k1", "placement": "reward", "beta": 0.1, "granularity": "sequence"}


@pytest.mark.parametrize(("k", "normalized"), [(2, True), (2, False), (3, True), (5, False)])
def test_the_group_size_is_a_factor_of_copg(k: int, normalized: bool) -> None:
    """∇CoPG-k is k·∇RLOO(k) in the normalised form and 2βk·∇RLOO(k) in the squared one."""
    a = online({"preset": "copg", "beta": 0.1, "normalized": normalized}, k)
    found = compare(a, online({"preset": "rloo", "kl": K1}, k))
    scale = 1 if normalized else 0.2
    assert (found.verdict, found.factor) == ("equal_in_expectation", pytest.approx(scale * k))
    assert found.factor == pytest.approx(by_enumeration(k, normalized), rel=1e-9)
    assert found.formula == ("k" if normalized else "0.2·k")
    first = next(c for c in found.conditional if c.verdict == "equal_gradient")
    assert "still the one that sampled" in first.conditions[0]
    assert first.factor == pytest.approx(scale * k)


def by_enumeration(k: int, normalized: bool, beta: float = 0.1) -> float:
    """Enumerate all ordered groups of three responses: both expected gradients by hand, and their ratio."""
    rng = random.Random(5)
    p, q = ([x / sum(w) for x in w] for w in ([rng.random() + 0.2 for _ in range(3)] for _ in range(2)))
    worth = [rng.random() - beta * math.log(a / b) for a, b in zip(p, q, strict=True)]
    copg, rloo = [0.0] * 3, [0.0] * 3
    for group in itertools.product(range(3), repeat=k):
        chance = math.prod(p[i] for i in group)
        total = sum(worth[i] for i in group)
        for arm in group:
            above = worth[arm] - (total - worth[arm]) / (k - 1)
            pulled = sum(2 * (worth[arm] - worth[other]) for other in group) * -beta / (k - 1)
            for theta in range(3):
                move = chance * ((theta == arm) - p[theta])
                copg[theta] += move * (pulled / (2 * beta) if normalized else pulled)
                rloo[theta] -= move * above / k
    assert copg[0] * rloo[1] == pytest.approx(copg[1] * rloo[0], rel=1e-9)
    return copg[0] / rloo[0]


def test_the_group_mean_is_a_part_of_leave_one_out() -> None:
    a, b = (online({"preset": "reinforce", "baseline": kind}, 4) for kind in ("group_mean", "leave_one_out"))
    found = compare(a, b)
    assert (found.verdict, found.factor) == ("equal_up_to_factor", pytest.approx(3 / 4))
    assert found.formula == "(k − 1)/k"


def test_self_play_is_not_judged_on_policy() -> None:
    a, b = (online({"preset": "sppo", "eta": 2, "partition": x}, 5, "self_play") for x in (0.5, 0.9))
    found = compare(a, b)
    assert found.verdict == "different"
    assert conditional(found, "first update of an iteration").verdict == "equal_in_expectation"


def test_a_log_partition_of_half_is_the_constant() -> None:
    a, b = (
        online({"preset": "sppo", "eta": 2, "partition": x}, 5, "self_play") for x in (0.5, "log_partition")
    )
    found = compare(a, b)
    assert found.verdict == "different"
    assert found.witness is not None
    assert at_point(b[1], found.witness.b["point"])["examples"][0]["loss"] == found.witness.b["loss"][0]
    assert conditional(found, "log Z = 1/2·η").verdict == "equal"


@pytest.mark.parametrize("change", [{"discount": 0.5}, {"gae_lambda": 0.5}, {"whiten": False}])
def test_rollouts_that_compute_other_advantages_are_not_equal(change: dict[str, Any]) -> None:
    found = compare(online({"preset": "ppo"}), online({"preset": "ppo", **change}))
    assert found.verdict == "different"
    assert next(iter(change)) in found.trace[0]


def test_a_penalty_over_the_vocabulary_has_a_verdict() -> None:
    full = {"estimator": "full", "placement": "loss", "beta": 0.1}
    assert compare(online({"preset": "ppo", "kl": full}), online({"preset": "ppo"})).verdict == "different"


@pytest.mark.parametrize("ratio", ["token", "sequence"])
def test_a_clipped_surrogate_is_reinforce_at_the_first_update(ratio: str) -> None:
    term = {
        "name": "p",
        "kind": "policy_gradient",
        "baseline": "leave_one_out",
        "aggregation": "sequence_mean",
    }
    clipped = {**term, "surrogate": "clipped", "ratio": ratio}
    found = compare(online({"terms": [clipped]}), online({"terms": [{**term, "surrogate": "reinforce"}]}))
    first = next(c for c in found.conditional if c.verdict == "equal_gradient")
    assert "first update" in first.conditions[0]
    assert first.factor == pytest.approx(1)


# ---- strictness -----------------------------------------------------------------------------------------------


def test_a_larger_margin_is_stricter() -> None:
    a, b = spec("simpo, beta: 2, gamma: 1"), spec("simpo, beta: 2, gamma: 0.5")
    there, back = diff(a, b).strictness, diff(b, a).strictness
    assert there is not None
    assert back is not None
    assert (there.relation, back.relation) == ("stricter", "implied")
    assert all(loss(a, pair) >= loss(b, pair) for pair in pairs(200))


@pytest.mark.parametrize(
    ("a", "b"), [("dpo", "cpo, sft_weight: 0"), ("r_dpo", "dpo"), ("cpo, sft_weight: 0", "orpo")]
)
def test_neither_is_stricter_where_each_is_above_somewhere(a: str, b: str) -> None:
    found = diff(spec(a), spec(b)).strictness
    assert found is not None
    assert found.relation == "neither"
    assert found.points
    if "orpo" not in b:
        above = {loss(spec(a), pair) > loss(spec(b), pair) for pair in pairs(200)}
        assert above == {True, False}


@pytest.mark.parametrize("b", ["ipo", "dpo, label_smoothing: 0.1", "kto", "exo"])
def test_what_is_no_falling_link_of_one_ratio_is_undecided(b: str) -> None:
    found = diff(spec("dpo"), spec(b)).strictness
    assert found is not None
    assert found.relation == "undecided"


def test_entailment_is_that_of_truth_tables() -> None:
    assert entails([("a", True), ("b", True)], [("a", True)]) is None
    assert entails([("a", True)], [("a", True), ("b", True)]) == {"a": True, "b": False}
    assert entails([("a", True), ("a", False)], [("b", True)]) is None


# ---- all presets against independent formulas -----------------------------------------------------------------

BY_ROW = [
    v
    for v in ALL
    if v.kind == "pairwise" and v.preset in LOSSES and v.preset not in ("ld_dpo", "wpo", "reward_model")
]


def slopes(variant: Variant, rows: list[dict[str, Any]]) -> list[list[float]]:
    """The gradients of rows on chosen and rejected, from formulas that share nothing with alignc."""
    found = [LOSSES[variant.preset](row, parameters(variant), 0.4).gradient for row in rows]
    return [[g.get(y, {}).get("logp", 0.0) for y in ("chosen", "rejected")] for g in found]


def proportional(a: Variant, b: Variant) -> float | None:
    rng = random.Random(11)
    rows = [example(rng, a, spread) for spread in (0.05, 0.3, 1.0) for _ in range(12)]
    left, right = ([x for s in slopes(v, rows) for x in s] for v in (a, b))
    place = max(range(len(right)), key=lambda i: abs(right[i]))
    factor = left[place] / right[place]
    close = all(abs(x - factor * y) <= 1e-7 * max(map(abs, left)) for x, y in zip(left, right, strict=True))
    return factor if close and factor > 0 else None


def every_pair() -> list[tuple[Variant, Variant]]:
    return list(itertools.combinations(BY_ROW, 2))


def check(a: Variant, b: Variant) -> None:
    (one, other), factor = (compiled(v) for v in (a, b)), proportional(a, b)
    sides = [(c.spec, c.loss, c.needs) for c in (one, other)]
    there, back = compare(*sides), compare(*reversed(sides))
    assert there.verdict == back.verdict
    if factor is None:
        assert there.verdict == "different", (a.name, b.name)
        return
    assert there.verdict in ("equal", "equal_up_to_factor", "equal_gradient"), (a.name, b.name)
    assert there.factor == pytest.approx(factor, rel=1e-5)
    assert back.factor == pytest.approx(1 / factor, rel=1e-5)


def test_verdicts_agree_with_independent_gradients() -> None:
    for a, b in random.Random(6).sample(every_pair(), 12):
        check(a, b)


@pytest.mark.long
def test_all_verdicts_agree_with_independent_gradients() -> None:
    for a, b in every_pair():
        check(a, b)


def drawn(tmp_path: Path, seeds: range) -> list[Spec]:
    """Lower random legal objectives; those that the checks refuse are left out."""
    found = []
    for seed in seeds:
        path = tmp_path / f"{seed}.yaml"
        path.write_text(draw(seed).text, encoding="utf-8")
        try:
            whole = lowered(path, files=False)
        except DiagnosticError:
            continue
        if isinstance(whole, Compiled):
            found.append((whole.spec, whole.loss, whole.needs))
    return found


def check_symmetry(specs: list[Spec]) -> None:
    for a, b in itertools.pairwise(specs):
        assert compare(a, a).verdict == "equal"
        there, back = compare(a, b), compare(b, a)
        assert there.verdict == back.verdict
        if there.factor is not None:
            assert back.factor == pytest.approx(1 / there.factor, rel=1e-9)


@pytest.mark.long
def test_many_random_objectives_are_compared_alike_both_ways(tmp_path: Path) -> None:
    check_symmetry(drawn(tmp_path, range(2000, 2400)))


def test_a_comparison_of_numbers_is_one_or_zero() -> None:
    rule = RULES["at_most"]
    form: Any = None
    assert (
        rule(form, sympy.Rational(1, 2), sympy.Integer(1)),
        rule(form, sympy.Integer(2), sympy.Integer(1)),
    ) == (1, 0)

"""Verdicts: each level, what certifies it, and that no pair of objectives is given up or hangs."""

from __future__ import annotations

import random
import time
from itertools import pairwise
from typing import Any

import pytest

from alignc.diff import VERDICTS, Difference
from alignc.diff.compare import Spec
from alignc.point.evaluate import at_point

from ..variants import ALL, Variant, compiled
from .specs import conditional, diff, spec


def of(variant: Variant) -> Spec:
    found = compiled(variant)
    return found.spec, found.loss, found.needs


def leaves(tree: Any, path: str = "") -> dict[str, float]:
    if isinstance(tree, dict | list):
        inside = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {k: v for key, value in inside for k, v in leaves(value, f"{path}/{key}").items()}
    return {path: tree}


@pytest.mark.parametrize("variant", ALL, ids=lambda v: v.name)
def test_every_objective_equals_itself(variant: Variant) -> None:
    found = diff(of(variant), of(variant))
    assert (found.verdict, found.factor, found.constant, found.changes) == ("equal", 1, None, ())
    assert found.trace[-1] == "the normal forms are the same"


def neighbours() -> list[tuple[Variant, Variant]]:
    shuffled = random.Random(4).sample(ALL, len(ALL))
    return list(pairwise(shuffled))[::2]


@pytest.mark.parametrize(("a", "b"), neighbours(), ids=lambda v: v.name)
def test_a_verdict_is_certified(a: Variant, b: Variant) -> None:
    found = diff(of(a), of(b))
    assert found.verdict in VERDICTS
    assert found.verdict != "undecided"
    if found.verdict in ("different", "equal_in_expectation"):
        check_witness(found, of(a), of(b))
    else:
        assert found.trace
        assert found.witness is None


def check_witness(found: Difference, a: Spec, b: Spec) -> None:
    """The numbers are those of `--at`, and no positive factor relates the gradients."""
    if found.witness is None:
        assert "different shapes" in found.conditions[0]
        return
    sides = (found.witness.a, found.witness.b)
    if "batch" not in found.witness.words:
        for lowered, side in zip((a, b), sides, strict=True):
            answer = at_point(lowered[1], side["point"])["examples"]
            assert side["loss"] == [e["loss"] for e in answer]
            assert side["gradient"] == [e["gradient"] for e in answer]
    left, right = (leaves(s["gradient"]) for s in sides)
    if a[1].view == b[1].view:
        ratios = [left.get(k, 0.0) / right[k] if right.get(k) else None for k in {**left, **right}]
        assert (
            len({r if r is None else round(r, 12) for r in ratios}) > 1 or None in ratios or min(ratios) <= 0
        )


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("dpo", "ipo"),
        ("dpo", "hinge"),
        ("simpo", "cpo"),
        ("kto", "bco"),
        ("ld_dpo", "dpo"),
        ("wpo", "dpo"),
        ("aot", "dpo"),
    ],
)
def test_different_objectives_part_at_a_point(a: str, b: str) -> None:
    found = diff(spec(a), spec(b))
    assert found.verdict == "different"
    assert found.witness is not None
    check_witness(found, spec(a), spec(b))


def test_the_witness_of_dpo_and_ipo_is_what_at_says() -> None:
    a, b = spec("dpo"), spec("ipo")
    found = diff(a, b).witness
    assert found is not None
    for side, of_side in ((found.a, a), (found.b, b)):
        answer = at_point(of_side[1], side["point"])
        assert side["loss"] == [e["loss"] for e in answer["examples"]]
        assert side["gradient"] == [e["gradient"] for e in answer["examples"]]


def test_the_two_directions_agree() -> None:
    a, b = spec("copg, beta: 0.2", "scored"), spec("copg, beta: 0.2, normalized: false", "scored")
    there, back = diff(a, b), diff(b, a)
    assert there.verdict == back.verdict == "equal_up_to_factor"
    assert there.factor == pytest.approx(1 / 0.4)
    assert back.factor == pytest.approx(0.4)


def formula(text: str) -> Spec:
    return spec(f"{{name: own, kind: preference, score: {{of: log_ratio, beta: 0.1}}, link: '{text}'}}")


def test_a_constant_is_reported() -> None:
    found = diff(formula("2*softplus(-z)+7"), spec("dpo, beta: 0.1"))
    assert (found.verdict, found.factor, found.constant) == ("equal_up_to_factor", 2, "7")


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ("softplus(-z)", "-log_sigmoid(z)"),
        ("softplus(z)", "softplus(-z)+z"),
        ("sigmoid(-z)", "1-sigmoid(z)"),
        ("relu(-2*z)", "2*relu(z)-2*z"),
        ("abs(z)", "relu(z)+relu(-z)"),
        ("exp(-2*z)", "exp(-z)**2"),
        ("tanh(-z)", "-tanh(z)"),
        ("(z-1)*(z+1)", "z**2-1"),
        ("(z**2-1)/(z**2+1)", "1-2/(1+z**2)"),
        ("expm1(-z)", "exp(-z)-1"),
    ],
)
def test_identities(mine: str, theirs: str) -> None:
    assert diff(formula(mine), formula(theirs)).verdict == "equal"


def test_no_factor_of_the_wrong_sign() -> None:
    assert diff(formula("z**2"), formula("1-z**2")).verdict == "different"


def test_what_no_rule_proves_and_no_point_refutes_is_undecided() -> None:
    found = diff(formula("sigmoid(z)*sigmoid(-z)"), formula("sigmoid(z)-sigmoid(z)*sigmoid(z)+0*z"))
    assert found.verdict == "equal"
    hidden = diff(formula("softplus(-z)"), formula("log(1+exp(-z))"))
    assert hidden.verdict == "undecided"
    assert hidden.factor is None
    assert "no proof" in hidden.conditions[0]


@pytest.mark.parametrize("text", ["z**40+exp(-z)", "softplus(-(z**9+z**8+1)**9)", "exp(exp(exp(-z)))"])
def test_large_formulas_end_soon(text: str) -> None:
    started = time.monotonic()
    assert diff(formula(text), formula(text.replace("z", "(z-1)", 1))).verdict in VERDICTS
    assert time.monotonic() - started < 60


def test_a_token_mean_is_a_response_mean_of_equal_lengths() -> None:
    pooled = spec("sft", "demonstrations")
    each = spec("{name: own, kind: likelihood, reduce: response_mean}", "demonstrations")
    found = diff(pooled, each)
    assert found.verdict == "different"
    assert found.witness is not None
    assert "batch" in found.witness.words
    assert conditional(found, "same length").verdict == "equal"


def test_another_reference_is_another_loss() -> None:
    other = spec("dpo", model="policy: a/b, reference: {kind: path, path: c/d}")
    found = diff(spec("dpo"), other)
    assert found.verdict == "different"
    assert conditional(found, "one reference").verdict == "equal"
    assert any(c.name == "reference" for c in found.changes)


def test_rows_without_a_common_shape_have_no_common_point() -> None:
    found = diff(spec("sft", "demonstrations"), spec("dpo"))
    assert found.verdict == "different"


def test_the_first_step_of_gauge_invariant_losses_is_one() -> None:
    """At π = π_ref, DPO's coefficient is −β/2 and IPO's 2(0 − 1/(2τ)) = −1/τ."""
    found = conditional(diff(spec("dpo, beta: 0.3"), spec("ipo, tau: 0.5")), "first step")
    assert (found.verdict, found.factor) == ("equal_gradient", pytest.approx(0.15 / 2))


def test_changes_are_told_in_words() -> None:
    found = diff(spec("dpo"), spec("simpo"))
    words = {c.words for c in found.changes}
    assert "the reference model is no longer loaded" in words
    assert "forwards per row: 4 → 2" in words
    assert "pref.score.reduce: sum → mean" in words
    assert "beta: 0.1 (preset:dpo) → 2 (preset:simpo)" in words


def test_metrics_and_columns_that_come_and_go() -> None:
    found = diff(spec("copg", "scored"), spec("dpo", "scored"))
    kinds = {(c.kind, c.name) for c in found.changes}
    assert ("column", "reward/completions") in kinds
    assert ("metric", "rewards/margins") in kinds
    assert ("response", "completions") in kinds


@pytest.mark.parametrize("other", ["grpo, kl: null", "cispo", "dapo"])
def test_a_witness_of_token_ratios_gives_every_token(other: str) -> None:
    """A sum over tokens does not tell what a loss of each token's ratio is; `--at` refuses it."""
    a, b = spec("reinforce", "prompts"), spec(other, "prompts")
    found = diff(a, b)
    check_witness(found, a, b)
    assert found.witness is not None
    for member in found.witness.b["point"]["examples"][0]["completions"]:
        assert len(member["logp"]) == len(member["old_logp"])


def test_one_value_a_row_beside_a_group() -> None:
    """DRO's V is the prompt's: each response of a group adds to its derivative."""
    a, b = spec("sppo, eta: 10", "scored"), spec("dro", "pointwise")
    found = diff(a, b)
    assert found.verdict == "different"
    check_witness(found, a, b)

"""Claims hold on numbers, and each checker refutes a claim that is false."""

from __future__ import annotations

from typing import Any

import pytest

from alignc.claims import Claim, Outcome, check, claims_of
from alignc.claims.model import Push, Shift, ShiftWay, Slope, SlopeAtStart, StepZero, Way
from alignc.claims.slopes import ROWS, slope, trained_output
from alignc.contract.models import POLICY
from alignc.graph import build as b
from alignc.graph.nodes import Logp

from ..online_variants import METHODS, Online, compiled_online
from ..variants import ALL, Variant, compiled, of_spec


@pytest.mark.parametrize("variant", ALL, ids=lambda v: v.name)
def test_claims_about_given_data_hold(variant: Variant) -> None:
    made = compiled(variant)
    refuted = [(c, v) for c in claims_of(made) if (v := check(c, made)).refuted]
    assert not refuted


@pytest.mark.parametrize("variant", METHODS, ids=lambda v: v.name)
def test_claims_about_samples_hold(variant: Online) -> None:
    made = compiled_online(variant)
    refuted = [(c, v) for c in claims_of(made) if (v := check(c, made)).refuted]
    assert not refuted


DPO, SFT, KTO = Variant("dpo"), Variant("sft", "demonstrations"), Variant("kto", "pointwise")
CHOSEN = Logp(POLICY, "chosen")
FALSE: list[tuple[Variant, Claim]] = [
    (DPO, Push(CHOSEN, "chosen", Way.LOWERS)),
    (DPO, Push(CHOSEN, "chosen", Way.KEEPS)),
    (KTO, Push(Logp(POLICY, "completion"), "completion", Way.AGAINST_LABEL)),
    (KTO, Push(Logp(POLICY, "completion"), "completion", Way.RAISES)),
    (DPO, Shift(ShiftWay.RISES)),
    (DPO, Shift(ShiftWay.DEPENDS)),
    (DPO, Shift(ShiftWay.SAME_MEANS)),
    (DPO, Shift(ShiftWay.BY_TOKEN)),
    (Variant("simpo"), Shift(ShiftWay.SAME)),
    (Variant("alphapo"), Shift(ShiftWay.RISES)),
    (Variant("f_dpo", given={"divergence": "js"}), Shift(ShiftWay.RISES)),
    (Variant("f_dpo", given={"divergence": "forward_kl"}), Shift(ShiftWay.RISES)),
    (Variant("cpo"), Shift(ShiftWay.FALLS)),
    (DPO, SlopeAtStart(CHOSEN, "chosen", -0.1)),
    (DPO, StepZero("loss", 0.6932)),
    (DPO, StepZero("rewards/nothing", 0.0)),
]


@pytest.mark.parametrize(("variant", "claim"), FALSE, ids=str)
def test_a_false_claim_is_refuted(variant: Variant, claim: Claim) -> None:
    assert check(claim, compiled(variant)).outcome is Outcome.REFUTED


def test_a_wrong_formula_is_refuted() -> None:
    made = compiled(DPO)
    right = slope(made.loss, CHOSEN)
    assert check(Slope(CHOSEN, "chosen", right), made).holds
    assert check(Slope(CHOSEN, "chosen", b.multiply(b.constant(1.01), right)), made).refuted
    assert check(Slope(CHOSEN, "chosen", right, by_row=False), made).refuted


def test_a_wrong_formula_of_a_steep_loss_is_refuted() -> None:
    """With β = 10,000 the loss bends within the step of a difference."""
    made = compiled(Variant("apo_zero", given={"beta": 10_000}))
    for stated in [c for c in claims_of(made) if isinstance(c, Slope)]:
        assert check(stated, made).holds
        false = Slope(stated.leaf, stated.response, b.multiply(b.constant(1.01), stated.value))
        assert check(false, made).refuted


def test_equal_slopes_of_tokens_are_told_from_small_ones() -> None:
    """A small β makes all slopes small: they differ between tokens with a weight of the tail, and only then."""
    claim = Shift(ShiftWay.BY_TOKEN)
    for beta in (1e-8, 1e4):
        tail = of_spec(_squared({"beta": beta, "tail_weight": 0.5}))
        assert check(claim, tail).holds
        assert check(claim, of_spec(_squared({"beta": beta}))).refuted


def test_a_clamp_hides_slopes_that_differ() -> None:
    """Differences cannot look within a clamp of 1e-8: the claim is left undecided there."""
    held = {
        "name": "hold",
        "kind": "kl",
        "on": "rejected",
        "estimator": "k2",
        "granularity": "token",
        "clamp": 1e-8,
    }
    made = of_spec({"preset": "dpo", "terms": {"hold": held}})
    assert check(Shift(ShiftWay.BY_TOKEN), made).outcome is Outcome.UNDECIDED


def _squared(score: dict[str, Any]) -> dict[str, Any]:
    term = {"name": "pref", "kind": "preference", "score": score, "link": "squared"}
    return {"terms": [{**term, "margin": {"kind": "constant", "value": 1}}]}


def test_a_slope_that_is_no_number_has_no_sign() -> None:
    """With the target 10,000, the side of a label that does not count is 0·∞."""
    target = {"kind": "constant", "value": 10_000}
    term = {"name": "fit", "kind": "pointwise", "target": target, "link": "exponential"}
    made = of_spec({"terms": [term]}, "pointwise")
    [claim] = [c for c in claims_of(made) if isinstance(c, Push)]
    assert claim.way is Way.BY_LABEL
    assert not check(claim, made).refuted
    assert check(Push(claim.leaf, claim.response, Way.AGAINST_LABEL), made).refuted


def test_a_mean_over_tokens_divides_by_the_tokens_of_the_batch() -> None:
    """L = −Σl/Σ|y| has the derivative −1/Σ|y|, and not −1/|y|."""
    made = compiled(SFT)
    leaf = trained_output(made.loss, "completion")
    [stated] = [c for c in claims_of(made) if isinstance(c, Slope)]
    assert not stated.by_row
    assert check(stated, made).holds
    assert check(Slope(leaf, "completion", b.divide(b.constant(-1), ROWS), by_row=False), made).refuted


def test_shifting_both_log_probabilities_is_decided_by_the_loss() -> None:
    """AlphaPO and two of the divergences of f-DPO do not hold the absolute log-probabilities."""
    said = {
        variant.name: next(c.way for c in claims_of(compiled(variant)) if isinstance(c, Shift))
        for variant in ALL
        if variant.preset in ("dpo", "simpo", "cpo", "alphapo", "f_dpo", "ld_dpo")
    }
    assert said["dpo-pairwise"] is ShiftWay.SAME
    assert said["simpo-pairwise"] is ShiftWay.SAME_MEANS
    assert said["cpo-pairwise"] is ShiftWay.RISES
    assert said["ld_dpo-pairwise"] is ShiftWay.BY_TOKEN
    for name in ("alphapo-pairwise", "f_dpo-pairwise-divergence_js", "f_dpo-pairwise-divergence_forward_kl"):
        assert said[name] is ShiftWay.DEPENDS

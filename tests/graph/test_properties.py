"""What holds of a loss for every row."""

from __future__ import annotations

from math import exp, log
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alignc.point.evaluate import at_point

from ..variants import ALL, Variant, compiled

LOGP = st.floats(-500, -0.01)
LENGTH = st.integers(1, 300)
RESPONSE = st.fixed_dictionaries({"logp": LOGP, "ref_logp": LOGP, "length": LENGTH})
PAIRS = [v for v in ALL if v.kind == "pairwise"]
RATIO = [v for v in PAIRS if v.preset not in
         ("slic", "simpo", "cpo", "orpo", "alphapo", "reward_model", "aot", "wpo", "ld_dpo", "dpo_sft")]  # fmt: skip
GAUGE = ("dpo", "robust_dpo", "ipo", "hinge", "gpo_exponential", "r_dpo", "exo", "discopop")
quick = settings(max_examples=10, deadline=None, derandomize=True)


def one(variant: Variant, chosen: dict[str, Any], rejected: dict[str, Any]) -> dict[str, Any]:
    extra = {"win_rate": 0.5}
    example = {"chosen": {**chosen, **extra}, "rejected": {**rejected, **extra}}
    found: dict[str, Any] = at_point(compiled(variant).loss, {"examples": [example]}, possible=False)[
        "examples"
    ][0]
    return found


def slopes(found: dict[str, Any]) -> tuple[float, float]:
    return found["gradient"]["chosen"]["logp"], found["gradient"]["rejected"]["logp"]


CONSTANTS = {
    "dpo": log(2), "robust_dpo": log(2), "hinge": 1.0, "gpo_exponential": 1.0, "r_dpo": log(2),
    "exo": None, "discopop": 0.5 * log(2) + 0.5, "dpop": log(2), "nca": 2 * log(2), "apo_zero": 1.0, "apo_down": 1.0,
    "kto": 1.0, "bco": 2 * log(2),
}  # fmt: skip


@pytest.mark.parametrize("variant", [v for v in RATIO if v.preset in CONSTANTS], ids=lambda v: v.name)
@quick
@given(logp=LOGP, length=LENGTH)
def test_equal_responses_at_the_reference_cost_a_constant(variant: Variant, logp: float, length: int) -> None:
    """0.5·(log ½ − log(1−ε)) + 0.5·(log ½ − log ε) for EXO; cDPO's ε/2 + (1−ε)/2 is log 2 again."""
    y = {"logp": logp, "ref_logp": logp, "length": length}
    expected = CONSTANTS[variant.preset]
    if expected is None:
        e = variant.given.get("epsilon", 1e-3)
        expected = log(0.5) - 0.5 * (log(1 - e) + log(e))
    assert one(variant, y, y)["loss"] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("variant", [v for v in PAIRS if v.preset in GAUGE], ids=lambda v: v.name)
@quick
@given(chosen=RESPONSE, rejected=RESPONSE, shift=st.floats(-50, 50))
def test_a_common_shift_of_policy_and_reference_changes_nothing(
    variant: Variant, chosen: dict[str, Any], rejected: dict[str, Any], shift: float
) -> None:
    far = {**chosen, "logp": chosen["logp"] + shift, "ref_logp": chosen["ref_logp"] + shift}
    before, after = one(variant, chosen, rejected), one(variant, far, rejected)
    assert after["loss"] == pytest.approx(before["loss"], rel=1e-9, abs=1e-9)
    assert slopes(after) == pytest.approx(slopes(before), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("variant", [v for v in PAIRS if v.preset in GAUGE], ids=lambda v: v.name)
@quick
@given(chosen=RESPONSE, rejected=RESPONSE)
def test_coefficients_cancel_where_the_margin_alone_is_seen(
    variant: Variant, chosen: dict[str, Any], rejected: dict[str, Any]
) -> None:
    """c_w + c_l = 0, by token where the ratio is averaged: the absolute log-probabilities are free."""
    c_w, c_l = slopes(one(variant, chosen, rejected))
    mean = variant.given.get("reduce") == "mean"
    n_w, n_l = (chosen["length"], rejected["length"]) if mean else (1, 1)
    assert c_w * n_w + c_l * n_l == pytest.approx(0, abs=1e-9 * (1 + abs(c_w * n_w)))


@quick
@given(chosen=RESPONSE, rejected=RESPONSE)
def test_swapping_the_responses_mirrors_the_margin(chosen: dict[str, Any], rejected: dict[str, Any]) -> None:
    """softplus(−z) − softplus(z) = −z, and IPO's (h − m)² − (−h − m)² = −4hm."""
    h = chosen["logp"] - chosen["ref_logp"] - rejected["logp"] + rejected["ref_logp"]
    dpo, ipo = Variant("dpo"), Variant("ipo")
    assert one(dpo, chosen, rejected)["loss"] - one(dpo, rejected, chosen)["loss"] == pytest.approx(
        -0.1 * h, abs=1e-9
    )
    assert one(ipo, chosen, rejected)["loss"] - one(ipo, rejected, chosen)["loss"] == pytest.approx(
        -4 * h * 5, rel=1e-9, abs=1e-6
    )


@quick
@given(chosen=RESPONSE, rejected=RESPONSE)
def test_certified_equalities(chosen: dict[str, Any], rejected: dict[str, Any]) -> None:
    """R-DPO at α = 0, cDPO and robust DPO at ε = 0, f-DPO with the reverse KL: all DPO, and IPO is GPO's (z−1)²."""
    dpo = one(Variant("dpo"), chosen, rejected)
    for same in (
        Variant("r_dpo", given={"alpha": 0}),
        Variant("dpo", given={"label_smoothing": 0}),
        Variant("robust_dpo", given={"label_smoothing": 0}),
        Variant("f_dpo", given={"divergence": "reverse_kl"}),
    ):
        found = one(same, chosen, rejected)
        assert found["loss"] == pytest.approx(dpo["loss"], rel=1e-12, abs=1e-300)
        assert slopes(found) == pytest.approx(slopes(dpo), rel=1e-12, abs=1e-300)


@quick
@given(chosen=RESPONSE, rejected=RESPONSE, epsilon=st.floats(0.01, 0.45))
def test_robust_dpo_is_unbiased(chosen: dict[str, Any], rejected: dict[str, Any], epsilon: float) -> None:
    """(1−ε)·L(w, l) + ε·L(l, w) = DPO(w, l)."""
    variant = Variant("robust_dpo", given={"label_smoothing": round(epsilon, 3)})
    e = round(epsilon, 3)
    flipped = (1 - e) * one(variant, chosen, rejected)["loss"] + e * one(variant, rejected, chosen)["loss"]
    assert flipped == pytest.approx(one(Variant("dpo"), chosen, rejected)["loss"], rel=1e-9, abs=1e-9)


def test_sppo_is_ipo_and_an_anchor() -> None:
    """(u_w − η/2)² + (u_l + η/2)² = ½(h − η)² + ½(u_w + u_l)², at τ = 1/(2η)."""
    chosen, rejected = {"logp": -3.0, "ref_logp": -7.0}, {"logp": -4.0, "ref_logp": -3.0}
    sppo = one(Variant("sppo", given={"eta": 5, "hard": True}), chosen, rejected)["loss"]
    ipo = one(Variant("ipo", given={"tau": 0.1}), chosen, rejected)["loss"]
    assert sppo == pytest.approx(ipo / 2 + (4 - 1) ** 2 / 2)


def test_alphapo_tends_to_simpo() -> None:
    chosen, rejected = {"logp": -30.0, "length": 10}, {"logp": -30.0, "length": 6}
    near = one(Variant("alphapo", given={"alpha": 1e-6}), chosen, rejected)
    assert near["loss"] == pytest.approx(one(Variant("simpo"), chosen, rejected)["loss"], rel=1e-4)
    assert exp(-near["loss"]) < 1

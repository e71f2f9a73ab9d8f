"""Axes combine freely: objectives that no library has, against their arithmetic."""

from __future__ import annotations

from math import exp, log
from typing import Any

import pytest

from alignc.explain.show import show
from alignc.point.evaluate import at_point

from ..variants import of_spec

PAIR = {
    "chosen": {"logp": -10.0, "ref_logp": -12.0, "length": 4},
    "rejected": {"logp": -9.0, "ref_logp": -8.0, "length": 2},
}
"""u_w = 2, u_l = −1, h = 3; a_w = −2.5, a_l = −4.5."""


def sigma(z: float) -> float:
    return 1 / (1 + exp(-z))


def evaluated(objective: dict[str, Any], z0: float = 0) -> tuple[float, float, float]:
    compiled = of_spec(objective)
    assert compiled.folder().files["loss.py"]
    assert "gradient" in show(compiled.explanation)
    found = at_point(compiled.loss, {"examples": [PAIR], "z0": z0})["examples"][0]
    return found["loss"], found["gradient"]["chosen"]["logp"], found["gradient"]["rejected"]["logp"]


def preference(**axes: Any) -> dict[str, Any]:
    return {"terms": [{"name": "pref", "kind": "preference", **axes}]}


RATIO = {"of": "log_ratio", "beta": 0.1}


def test_the_score_of_simpo_under_the_link_of_ipo() -> None:
    """2·(−2.5 + 4.5) − 3 = 1; slopes 2·1·2/4 and −2·1·2/2."""
    objective = preference(
        score={"of": "log_prob", "reduce": "mean", "beta": 2},
        margin={"kind": "constant", "value": 3},
        link="squared",
    )
    assert evaluated(objective) == pytest.approx((1.0, 1.0, -2.0))


def test_the_length_margin_of_r_dpo_under_a_hinge() -> None:
    """z = 0.1·3 + 0.05·2 = 0.4: max(0, 1 − 0.4)."""
    objective = preference(score=RATIO, margin={"kind": "length", "alpha": 0.05}, link="hinge")
    assert evaluated(objective) == pytest.approx((0.6, -0.1, 0.1))


def test_a_preset_takes_another_link_and_another_margin() -> None:
    """DPO's score, z = 0.3 − 0.5 = −0.2, under exp(−z)."""
    changed = {"link": "exponential", "margin": {"kind": "constant", "value": 0.5}}
    objective = {"preset": "dpo", "terms": {"pref": changed}}
    assert evaluated(objective) == pytest.approx((exp(0.2), -0.1 * exp(0.2), 0.1 * exp(0.2)))


def test_log_odds_under_a_utility() -> None:
    d = (-2.5 - log(1 - exp(-2.5))) - (-4.5 - log(1 - exp(-4.5)))
    loss, _, _ = evaluated(preference(score={"of": "log_odds", "reduce": "mean"}, link="utility"))
    assert loss == pytest.approx(1 - sigma(d))


def test_a_drop_margin_under_the_exponential_link() -> None:
    """The chosen response has risen: exp(−3)."""
    objective = preference(
        score={"of": "log_ratio"}, margin={"kind": "drop", "weight": 5}, link="exponential"
    )
    assert evaluated(objective) == pytest.approx((exp(-3), -exp(-3), exp(-3)))


def test_three_methods_in_one_objective() -> None:
    """DPO at β = 0.1, marks against z₀ at β = 0.05, and 0.2 of the likelihood, each with its own score.

    softplus(−0.3) + [1 − σ(0.05·(2 − 1)) + 1 − σ(0.05·(1 + 1))] + 0.2·2.5
    """
    score = {"of": "log_ratio", "beta": 0.05}
    mark = {"name": "mark", "kind": "pointwise", "score": score, "reference_point": {"kind": "batch_kl"}}
    objective = {
        "terms": [
            {"name": "pref", "kind": "preference", "score": RATIO},
            mark,
            {"name": "nll", "kind": "likelihood", "on": "chosen", "reduce": "response_mean", "weight": 0.2},
        ]
    }
    loss = log(1 + exp(-0.3)) + (1 - sigma(0.05)) + (1 - sigma(0.1)) + 0.5
    c_w = -0.1 * sigma(-0.3) - 0.05 * sigma(0.05) * sigma(-0.05) - 0.2 / 4
    c_l = 0.1 * sigma(-0.3) + 0.05 * sigma(0.1) * sigma(-0.1)
    assert evaluated(objective, z0=1.0) == pytest.approx((loss, c_w, c_l))


def test_terms_added_to_a_preset() -> None:
    """IPO at τ = 0.1, (3 − 5)², and half of the likelihood's sum, 10."""
    nll = {"kind": "likelihood", "on": "chosen", "reduce": "sum", "weight": 0.5}
    assert evaluated({"preset": "ipo", "terms": {"nll": nll}}) == pytest.approx((9.0, -4.5, 4.0))


LINKS = {
    "softplus(-z)": "logistic",
    "z**2": "squared",
    "relu(1-z)": "hinge",
    "exp(-z)": "exponential",
    "1-sigmoid(z)": "utility",
}


@pytest.mark.parametrize(("formula", "link"), LINKS.items())
def test_a_formula_is_its_link(formula: str, link: str) -> None:
    margin = {"kind": "constant", "value": 0.5}
    assert evaluated(preference(score=RATIO, link=formula, margin=margin)) == pytest.approx(
        evaluated(preference(score=RATIO, link=link, margin=margin)), rel=1e-14
    )


def test_a_formula_of_its_own() -> None:
    """½(z − 1)² at z = 0.3, and its slope 0.1·(z − 1); log(1 + z²) and 0.1·2z/(1 + z²)."""
    assert evaluated(preference(score=RATIO, link="(z-1)**2/2")) == pytest.approx((0.245, -0.07, 0.07))
    assert evaluated(preference(score=RATIO, link="log(1+(z-2)**2)")) == pytest.approx(
        (log(1 + 2.89), -0.34 / 3.89, 0.34 / 3.89)
    )


def test_a_transformed_score() -> None:
    """x/(1+|x|) of −2.5 and −4.5, by 2."""
    score = {"of": "log_prob", "reduce": "mean", "beta": 2, "transform": "x/(1+abs(x))"}
    z = 2 * (-2.5 / 3.5 + 4.5 / 5.5)
    pull = sigma(-z)
    expected = (log(1 + exp(-z)), -2 / 4 * pull / 3.5**2, 2 / 2 * pull / 5.5**2)
    assert evaluated(preference(score=score, link="logistic")) == pytest.approx(expected)


def test_a_formula_over_a_presets_parameters(tmp_path: Any) -> None:
    """A user's own preset: softplus(−z/s) at s = 2 and β = 0.1."""
    (tmp_path / "mine.yaml").write_text(
        "preset: mine\ntitle: Mine\nsummary: A softer DPO.\ndata: [pairwise]\n"
        "parameters:\n  beta: {default: 0.1, unit: 1/nat}\n  s: {default: 2}\n"
        "terms:\n  - {name: pref, kind: preference, score: {beta: =beta}, link: softplus(-z/s)}\n"
    )
    (tmp_path / "spec.yaml").write_text(
        "objective: {preset: mine.yaml, s: 4}\nmodel: {policy: x/y}\ndata: {kind: pairwise, source: x/y}\n"
    )
    from alignc.api import evaluate

    found = evaluate(tmp_path / "spec.yaml", {"examples": [PAIR]})
    assert found["loss"] == pytest.approx(log(1 + exp(-0.3 / 4)))
    assert found["examples"][0]["gradient"]["chosen"]["logp"] == pytest.approx(-0.1 / 4 * sigma(-0.075))

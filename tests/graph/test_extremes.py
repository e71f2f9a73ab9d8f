"""Far from the start every loss and gradient stays finite and right."""

from __future__ import annotations

from math import exp, log
from typing import Any

import pytest

from alignc.point.evaluate import at_point

from ..variants import Variant, compiled


def pair(preset: str, u_w: float, u_l: float, **given: Any) -> tuple[float, float, float]:
    """Evaluate at log-ratios u_w and u_l, the lengths 10 and 20."""
    example = {
        "chosen": {"logp": -20_000 + u_w, "ref_logp": -20_000, "length": 10},
        "rejected": {"logp": -20_000 + u_l, "ref_logp": -20_000, "length": 20},
    }
    found = at_point(compiled(Variant(preset, "pairwise", given)).loss, {"examples": [example]})["examples"][
        0
    ]
    return found["loss"], found["gradient"]["chosen"]["logp"], found["gradient"]["rejected"]["logp"]


FAR = 9_000.0
"""With β = 0.1, z = ±1800: e^1800 is beyond float64."""


@pytest.mark.parametrize(
    ("preset", "given", "right", "wrong"),
    [
        ("dpo", {}, (0, 0, 0), (1800, -0.1, 0.1)),
        ("dpo", {"label_smoothing": 0.25}, (450, 0.025, -0.025), (1350, -0.075, 0.075)),
        ("robust_dpo", {}, (-225, -0.0125, 0.0125), (2025, -0.1125, 0.1125)),
        ("hinge", {"beta": 0.1}, (0, 0, 0), (1801, -0.1, 0.1)),
        ("r_dpo", {"alpha": 1}, (0, 0, 0), (1810, -0.1, 0.1)),
        ("exo", {"epsilon": 0.125}, (-log(0.875), 0, 0), (-log(0.125), 0, 0)),
        ("apo_zero", {}, (0, 0, 0), (2, 0, 0)),
        ("apo_down", {}, (1, 0, 0), (1, 0, 0)),
        ("nca", {}, (450, 0.05, 0), (900 + 450, -0.1, 0.05)),
        ("discopop", {}, (0, 0, 0), (1800, -0.1, 0.1)),
        ("dpop", {"lambda": 1}, (0, 0, 0), (2700, -0.2, 0.1)),
        ("kto", {}, (0, 0, 0), (2, 0, 0)),
        ("bco", {}, (0, 0, 0), (1800, -0.1, 0.1)),
        ("ipo", {"tau": 0.5}, (17_999.0**2, 35_998, -35_998), (18_001.0**2, -36_002, 36_002)),
        ("f_dpo", {"divergence": "js"}, (0, 0, 0), (900, -0.1, 0)),
    ],
)
def test_margins_beyond_the_exponential(
    preset: str, given: dict[str, Any], right: tuple[float, ...], wrong: tuple[float, ...]
) -> None:
    """Ranked right (u = ±9000) and ranked wrong."""
    assert pair(preset, FAR, -FAR, **given) == pytest.approx(right, rel=1e-12, abs=1e-12)
    assert pair(preset, -FAR, FAR, **given) == pytest.approx(wrong, rel=1e-12, abs=1e-12)


def test_sppo_at_its_paper_eta() -> None:
    """η = 1000: (9000 − 500)² + (−9000 + 500)²."""
    assert pair("sppo", FAR, -FAR, hard=True) == pytest.approx((2 * 8500.0**2, 17_000, -17_000))


@pytest.mark.parametrize("mean", [-1e-8, -1e-12, -800.0])
def test_odds_of_certain_and_of_impossible_tokens(mean: float) -> None:
    """lo(a) = a − log(1 − e^a) is −log(−a) near 0, and a far from it; 1 − e^a loses no digit."""
    example = {"chosen": {"logp": 10 * mean, "length": 10}, "rejected": {"logp": -20.0, "length": 10}}
    found = at_point(compiled(Variant("orpo")).loss, {"examples": [example]})["examples"][0]
    odds = -log(-mean) + mean / 2 if mean > -1e-3 else mean
    d = odds - (-2 - log(1 - exp(-2)))
    softplus = max(-d, 0) + log(1 + exp(-abs(d)))
    assert found["loss"] == pytest.approx(-mean + 0.1 * softplus, rel=1e-9)
    gap = -mean + mean**2 / 2 if mean > -1e-3 else 1.0
    pull = exp(-d) / (1 + exp(-d)) if d > 0 else 1 / (1 + exp(d))
    expected = -(1 / 10) * (1 + 0.1 * pull / gap)
    assert found["gradient"]["chosen"]["logp"] == pytest.approx(expected, rel=1e-8)


def test_simpo_of_long_unlikely_responses() -> None:
    """a_w − a_l = −2000 + 1000 = −1000: z = −2·1000 − 0.5."""
    example = {"chosen": {"logp": -20_000, "length": 10}, "rejected": {"logp": -20_000, "length": 20}}
    found = at_point(compiled(Variant("simpo")).loss, {"examples": [example]})["examples"][0]
    assert found["loss"] == pytest.approx(2000.5)
    assert found["gradient"] == {"chosen": {"logp": -0.2}, "rejected": {"logp": 0.1}}

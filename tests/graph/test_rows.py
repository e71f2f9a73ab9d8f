"""Rows written by hand, with their arithmetic."""

from __future__ import annotations

from math import exp, log
from typing import Any

import pytest

from alignc.point.evaluate import at_point

from ..variants import Variant, compiled

PAIR = {
    "chosen": {"logp": -10.0, "ref_logp": -12.0, "length": 4},
    "rejected": {"logp": -9.0, "ref_logp": -8.0, "length": 2},
}
"""u_w = 2, u_l = −1, h = 3; a_w = −2.5, a_l = −4.5; ū_w = 0.5, ū_l = −0.5."""


def sigma(z: float) -> float:
    return 1 / (1 + exp(-z))


def row(preset: str, example: dict[str, Any], kind: str = "pairwise", z0: float = 0, **given: Any) -> Any:
    loss = compiled(Variant(preset, kind, given)).loss
    return at_point(loss, {"examples": [example], "z0": z0})["examples"][0]


def pair(preset: str, **given: Any) -> tuple[float, float, float]:
    found = row(preset, PAIR, **given)
    return found["loss"], found["gradient"]["chosen"]["logp"], found["gradient"]["rejected"]["logp"]


@pytest.mark.parametrize(
    ("preset", "given", "loss", "chosen", "rejected"),
    [
        # z = 0.1·3 = 0.3
        ("dpo", {}, log(1 + exp(-0.3)), -0.1 * sigma(-0.3), 0.1 * sigma(-0.3)),
        # at ε = 0.2: 0.8·softplus(−0.3) + 0.2·softplus(0.3); slope β(σ(0.3) − 0.8)
        (
            "dpo",
            {"label_smoothing": 0.2},
            0.8 * log(1 + exp(-0.3)) + 0.2 * log(1 + exp(0.3)),
            0.1 * (sigma(0.3) - 0.8),
            -0.1 * (sigma(0.3) - 0.8),
        ),
        # [0.9·softplus(−0.3) − 0.1·softplus(0.3)]/0.8
        (
            "robust_dpo",
            {},
            (0.9 * log(1 + exp(-0.3)) - 0.1 * log(1 + exp(0.3))) / 0.8,
            0.1 * (-0.9 * sigma(-0.3) - 0.1 * sigma(0.3)) / 0.8,
            0.1 * (0.9 * sigma(-0.3) + 0.1 * sigma(0.3)) / 0.8,
        ),
        # 3 − 1/(2·0.1) = −2
        ("ipo", {}, 4.0, -4.0, 4.0),
        # 0.5 + 0.5 − 1/(2·0.5) = 0
        ("ipo", {"tau": 0.5, "reduce": "mean"}, 0.0, 0.0, 0.0),
        # 0.5 + 0.5 − 1/(2·0.1) = −4; −8/4 and 8/2
        ("ipo", {"reduce": "mean"}, 16.0, -2.0, 4.0),
        # z = 0.05·3 = 0.15
        ("hinge", {}, 0.85, -0.05, 0.05),
        # max(0, 1 + 10 − 9) = 2, and 0.1·10
        ("slic", {}, 3.0, -1.1, 1.0),
        ("gpo_exponential", {}, exp(-0.3), -0.1 * exp(-0.3), 0.1 * exp(-0.3)),
        # 2·(−2.5 + 4.5) − 0.5 = 3.5
        ("simpo", {}, log(1 + exp(-3.5)), -2 / 4 * sigma(-3.5), 2 / 2 * sigma(-3.5)),
        # z = 0.1·(−10 + 9) = −0.1; likelihood 2.5
        ("cpo", {}, log(1 + exp(0.1)) + 2.5, -0.1 * sigma(0.1) - 1 / 4, 0.1 * sigma(0.1)),
        # z = 0.1·3 + 0.05·(4 − 2) = 0.4: the longer winner is paid in advance
        ("r_dpo", {}, log(1 + exp(-0.4)), -0.1 * sigma(-0.4), 0.1 * sigma(-0.4)),
        # 0.01·3 = 0.03; 0.005·2.5
        ("dpo_sft", {}, log(1 + exp(-0.03)) + 0.0125, -0.01 * sigma(-0.03) - 0.00125, 0.01 * sigma(-0.03)),
        # r_w = 0.2, r_l = −0.1
        (
            "apo_zero",
            {},
            1 - sigma(0.2) + sigma(-0.1),
            -0.1 * sigma(0.2) * sigma(-0.2),
            0.1 * sigma(0.1) * sigma(-0.1),
        ),
        (
            "nca",
            {},
            log(1 + exp(-0.2)) + 0.5 * log(1 + exp(0.2)) + 0.5 * log(1 + exp(-0.1)),
            0.1 * (-sigma(-0.2) + 0.5 * sigma(0.2)),
            0.1 * 0.5 * sigma(-0.1),
        ),
        # the chosen response has risen: no drop
        ("dpop", {}, log(1 + exp(-0.3)), -0.1 * sigma(-0.3), 0.1 * sigma(-0.3)),
        # 1/(2·0.1) = 5: (2 − 5)² + (−1 + 5)²
        ("cal_dpo", {"beta": 0.1}, log(1 + exp(-3)) + 9 + 16, -sigma(-3) - 6, sigma(-3) + 8),
        # (2 − 5/2)² + (−1 + 5/2)²
        ("sppo", {"eta": 5, "hard": True}, 0.25 + 2.25, -1.0, 3.0),
    ],
)
def test_pair(preset: str, given: dict[str, Any], loss: float, chosen: float, rejected: float) -> None:
    assert pair(preset, **given) == pytest.approx((loss, chosen, rejected), rel=1e-12, abs=1e-14)


def test_orpo() -> None:
    """lo(−2.5) = −2.5 − log(1 − e^−2.5), lo(−4.5) likewise; L = 2.5 + 0.1·softplus(−D)."""
    d = (-2.5 - log(1 - exp(-2.5))) - (-4.5 - log(1 - exp(-4.5)))
    expected = (
        2.5 + 0.1 * log(1 + exp(-d)),
        -(1 / 4) * (1 + 0.1 * sigma(-d) / (1 - exp(-2.5))),
        (0.1 / 2) * sigma(-d) / (1 - exp(-4.5)),
    )
    assert pair("orpo") == pytest.approx(expected, rel=1e-12)


def test_dpop_where_the_chosen_response_fell() -> None:
    """u_w = −2, h = −2, drop 2: z = 0.1·(−2 − 3·2) = −0.8, and the chosen slope counts 1 + 3 times."""
    fell = {"chosen": {"logp": -14.0, "ref_logp": -12.0}, "rejected": {"logp": -8.0, "ref_logp": -8.0}}
    found = row("dpop", fell, **{"lambda": 3})
    assert found["loss"] == pytest.approx(log(1 + exp(0.8)))
    assert found["gradient"]["chosen"]["logp"] == pytest.approx(-0.4 * sigma(0.8))
    assert found["gradient"]["rejected"]["logp"] == pytest.approx(0.1 * sigma(0.8))


def test_kto() -> None:
    """u = 2, z₀ = 0.5: β(u − z₀) = 0.15 where wanted."""
    y = {"logp": -10.0, "ref_logp": -12.0}
    wanted = row("kto", {"completion": y, "label": True}, "pointwise", 0.5)
    unwanted = row("kto", {"completion": y, "label": False}, "pointwise", 0.5)
    assert wanted["loss"] == pytest.approx(1 - sigma(0.15))
    assert unwanted["loss"] == pytest.approx(1 - sigma(-0.15))
    slope = 0.1 * sigma(0.15) * sigma(-0.15)
    assert wanted["gradient"]["completion"]["logp"] == pytest.approx(-slope)
    assert unwanted["gradient"]["completion"]["logp"] == pytest.approx(slope)


def test_kto_of_a_pair_without_a_reference_point_is_apo_zero() -> None:
    assert pair("kto") == pytest.approx(pair("apo_zero"), rel=1e-14)


def test_dro() -> None:
    """R − V − τu = 3 − 1 − 0.5·2 = 1."""
    y = {"logp": -10.0, "ref_logp": -12.0, "reward": 3.0, "value": 1.0}
    found = row("dro", {"completion": y}, "pointwise", tau=0.5)
    assert found == {"loss": 0.5, "gradient": {"completion": {"logp": -0.5, "value": -1.0}}}


def test_sppo_of_one_sample() -> None:
    """u − η(P − ½) = 2 − 1000·0.25 = −248."""
    y = {"logp": -10.0, "ref_logp": -12.0, "win_rate": 0.75}
    found = row("sppo", {"completion": y}, "pointwise")
    assert found == {"loss": 61504.0, "gradient": {"completion": {"logp": -496.0}}}


GROUP = {
    "completions": [
        {"logp": -10.0, "ref_logp": -12.0, "old_logp": -11.0, "reward": 1.0},
        {"logp": -9.0, "ref_logp": -8.0, "old_logp": -9.5, "reward": 0.0},
        {"logp": -6.0, "ref_logp": -7.0, "old_logp": -6.0, "reward": 4.0},
    ]
}


def test_copg_of_a_pair() -> None:
    """R_β = 1 − 0.2 = 0.8 and 0 + 0.1 = 0.1: (0.7)²/(2·0.1) = 2.45; c = ∓0.7. Squared: 0.49, ∓2·0.1·0.7."""
    two = {"completions": GROUP["completions"][:2]}
    found = row("copg", two, "scored")
    assert found["loss"] == pytest.approx(2.45)
    assert [y["logp"] for y in found["gradient"]["completions"]] == pytest.approx([-0.7, 0.7])
    squared = row("copg", two, "scored", normalized=False)
    assert squared["loss"] == pytest.approx(0.49)
    assert [y["logp"] for y in squared["gradient"]["completions"]] == pytest.approx([-0.14, 0.14])


def test_copg_of_three() -> None:
    """R_β = 0.8, 0.1, 3.9: (0.7² + 3.1² + 3.8²)/2/0.2; A = R_β − mean of the others: −1.2, −2.25, 3.45."""
    found = row("copg", GROUP, "scored")
    assert found["loss"] == pytest.approx((0.49 + 9.61 + 14.44) / 2 / 0.2)
    assert [y["logp"] for y in found["gradient"]["completions"]] == pytest.approx([1.2, 2.25, -3.45])


def test_rebel() -> None:
    """Δ(l − o)/2 − ΔR = (1 − 0.5)/2 − 1 = −0.75; slopes ±(2/2)·(−0.75)."""
    found = row("rebel", {"completions": GROUP["completions"][:2]}, "scored", eta=2)
    assert found["loss"] == pytest.approx(0.5625)
    assert [y["logp"] for y in found["gradient"]["completions"]] == pytest.approx([-0.75, 0.75])


def test_gradients_have_the_shape_of_the_example() -> None:
    """Tokens given one by one get a slope each, sums one; α = ½ weighs the third token."""
    w = {"logp": [-1.0, -2.0, -3.0], "ref_logp": [-1.0, -2.0, -3.0]}
    l = {"logp": [-1.0, -1.0], "ref_logp": [-1.0, -1.0]}
    found = row("ld_dpo", {"chosen": w, "rejected": l})["gradient"]
    assert found["chosen"]["logp"] == pytest.approx([-0.05, -0.05, -0.025])
    assert found["rejected"]["logp"] == pytest.approx([0.05, 0.05])
    one = {"logp": [-1.0], "ref_logp": [-1.0]}
    assert row("ld_dpo", {"chosen": one, "rejected": one})["gradient"]["chosen"]["logp"] == [-0.05]
    assert row("dpo", {"chosen": w, "rejected": l})["gradient"]["chosen"]["logp"] == [-0.05] * 3

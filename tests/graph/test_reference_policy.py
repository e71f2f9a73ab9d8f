"""Every online method against an implementation of its own, written from the papers' formulas."""

from __future__ import annotations

import random
from typing import Any

import pytest

from alignc.load.preset import built_in, preset_names
from alignc.point.evaluate import at_point

from ..online_variants import METHODS, PRESETS, Online, compiled_online, example
from ..reference_policy import Slopes, evaluated

ROWS = 12


def own(variant: Online, row: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """Evaluate one row as a batch of its own, its slopes in the shape of the row."""
    loss, slopes = evaluated([row["completions"]], variant.means)
    return loss, {"completions": [laid(variant, slopes, i) for i in range(len(row["completions"]))]}


def laid(variant: Online, slopes: Slopes, place: int) -> dict[str, Any]:
    found = {"logp": slopes.logp[0][place]}
    if variant.means.value is not None:
        found["value"] = slopes.value[0][place]
    if variant.means.entropy:
        found["entropy"] = slopes.entropy[0][place]
    if slopes.divergence[0][place]:
        found["divergence"] = slopes.divergence[0][place]
    return found


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for ours, theirs in zip(found["completions"], expected["completions"], strict=True):
        assert ours.keys() == theirs.keys()
        for key, slopes in theirs.items():
            assert ours[key] == pytest.approx(slopes, rel=1e-10, abs=1e-12)


def test_every_policy_gradient_is_there() -> None:
    kinds = {name: {t["kind"] for t in built_in(name).terms} for name in preset_names()}
    assert {name for name, terms in kinds.items() if "policy_gradient" in terms} == {
        v.objective["preset"] for v in PRESETS
    }


@pytest.mark.parametrize("variant", METHODS, ids=lambda v: v.name)
def test_loss_and_gradient(variant: Online) -> None:
    rng = random.Random(variant.name)
    rows = [example(rng, variant) for _ in range(ROWS)]
    found = at_point(compiled_online(variant).loss, {"examples": rows}, possible=False)
    answers = [own(variant, row) for row in rows]
    assert found["loss"] == pytest.approx(sum(loss for loss, _ in answers) / ROWS, rel=1e-10, abs=1e-12)
    for one, (loss, slopes) in zip(found["examples"], answers, strict=True):
        assert one["loss"] == pytest.approx(loss, rel=1e-10, abs=1e-12)
        assert_same(one["gradient"], slopes)


@pytest.mark.parametrize("variant", METHODS, ids=lambda v: v.name)
def test_the_clip_is_met(variant: Online) -> None:
    """The rows drawn reach both sides of every clip: some tokens carry no gradient, and some do."""
    if variant.means.surrogate[0] != "clipped" or variant.means.kl is not None:
        return
    rng = random.Random(variant.name)
    slopes = [s for _ in range(ROWS) for s in flat(own(variant, example(rng, variant))[1])]
    assert 0 < slopes.count(0.0) < len(slopes)


def flat(gradient: dict[str, Any]) -> list[float]:
    return [s for y in gradient["completions"] for s in y["logp"]]

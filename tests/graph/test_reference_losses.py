"""Every preset against an implementation of its own, written from the papers' formulas."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from alignc.load.preset import preset_names
from alignc.point.evaluate import at_point

from ..online_variants import PRESETS
from ..reference_losses import LOSSES
from ..variants import ALL, Variant, compiled, example, parameters

ROWS = 25


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}")
    elif isinstance(tree, list):
        for place, value in enumerate(tree):
            yield from leaves(value, f"{path}[{place}]")
    else:
        yield path, tree


def close(found: Any, expected: Any) -> None:
    ours, theirs = dict(leaves(found)), dict(leaves(expected))
    assert ours.keys() == theirs.keys()
    for place, value in theirs.items():
        assert ours[place] == pytest.approx(value, rel=1e-10, abs=1e-10), place


def test_every_preset_has_a_reference_loss() -> None:
    gradients = {v.objective["preset"] for v in PRESETS}  # theirs stand in `reference_policy`
    assert {*LOSSES, "aot"} == set(preset_names()) - gradients == {v.preset for v in ALL}


@pytest.mark.parametrize("variant", [v for v in ALL if v.preset != "aot"], ids=lambda v: v.name)
def test_loss_and_gradient(variant: Variant) -> None:
    rng = random.Random(variant.name)
    rows = [example(rng, variant) for _ in range(ROWS)]
    z0 = rng.random()
    found = at_point(compiled(variant).loss, {"examples": rows, "z0": z0}, possible=False)
    answers = [LOSSES[variant.preset](row, parameters(variant), z0) for row in rows]
    assert found["loss"] == pytest.approx(sum(a.loss for a in answers) / ROWS, rel=1e-10)
    for one, answer in zip(found["examples"], answers, strict=True):
        close(one["loss"], answer.loss)
        close(one["gradient"], answer.gradient)

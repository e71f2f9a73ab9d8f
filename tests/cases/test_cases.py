"""Every preset's case: a short spec, the text that explains it, and values with their source."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignc.api import evaluate
from alignc.load.preset import preset_names

from ..regenerate import CASES, explained

ALL = sorted(p.parent for p in CASES.glob("*/spec.yaml"))


def test_every_preset_has_a_case() -> None:
    assert {case.name for case in ALL} >= set(preset_names())
    for case in ALL:
        assert {p.name for p in case.iterdir()} == {"spec.yaml", "explain.txt", "values.json"}


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_the_spec_is_short(case: Path) -> None:
    assert len((case / "spec.yaml").read_text("utf-8").splitlines()) <= 12


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_what_is_explained(case: Path) -> None:
    """`python -m tests.regenerate` writes it anew: read the difference."""
    assert explained(case) == (case / "explain.txt").read_text("utf-8")


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_values(case: Path) -> None:
    given = json.loads((case / "values.json").read_text("utf-8"))
    assert given["source"]
    point = {"examples": [p["example"] for p in given["points"]], "z0": given["z0"]}
    for found, expected in zip(evaluate(case / "spec.yaml", point)["examples"], given["points"], strict=True):
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-10, abs=1e-12)
        assert flat(found["gradient"]) == pytest.approx(flat(expected["gradient"]), rel=1e-10, abs=1e-12)


def flat(tree: object, path: str = "") -> dict[str, float]:
    """List the numbers of nested lists and mappings by their path."""
    if isinstance(tree, dict):
        return {k: v for key, inner in tree.items() for k, v in flat(inner, f"{path}.{key}").items()}
    if isinstance(tree, list):
        return {k: v for i, inner in enumerate(tree) for k, v in flat(inner, f"{path}[{i}]").items()}
    assert isinstance(tree, float | int)
    return {path: float(tree)}

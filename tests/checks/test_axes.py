"""Every field of a term that a spec writes changes the loss, or is reported at its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alignc.api import validate

MODEL = {"policy": {"init": "llama", "tokenizer": "bytes"}}


def unread(term: dict[str, Any], kind: str, folder: Path) -> list[str]:
    spec = {
        "objective": {"terms": [{"name": "t", **term}]},
        "model": MODEL,
        "data": {"kind": kind, "source": "x/y"},
    }
    (folder / "spec.yaml").write_text(json.dumps(spec), "utf-8")
    found = validate(folder / "spec.yaml").diagnostics
    return [d.message.split("`")[1] for d in found if d.code == "W114"]


PREFERENCE, POINT = {"kind": "preference"}, {"kind": "pointwise", "link": "logistic"}
GROUP = {**PREFERENCE, "pairs": "all", "link": "squared"}
UNREAD: list[tuple[dict[str, Any], str, list[str]]] = [
    ({**GROUP, "order": "sorted"}, "scored", ["order"]),
    ({**GROUP, "sample_weight": "likelihood", "center": 0.1}, "scored", ["sample_weight", "center"]),
    ({**PREFERENCE, "pairs": "all"}, "pairwise", ["pairs"]),
    ({**PREFERENCE, "score": {"divergence": "js"}}, "pairwise", ["score.divergence"]),
    (
        {**PREFERENCE, "score": {"of": "f_ratio", "divergence_alpha": 0.3}},
        "pairwise",
        ["score.divergence_alpha"],
    ),
    ({**PREFERENCE, "score": {"tail_of": "policy"}}, "pairwise", ["score.tail_of"]),
    ({**PREFERENCE, "score": {"of": "scalar_head", "reduce": "mean"}}, "pairwise", ["score.reduce"]),
    ({**POINT, "direction": "up", "undesirable_weight": 2}, "pointwise", ["undesirable_weight"]),
    ({**POINT, "direction": "down", "desirable_weight": 2}, "pointwise", ["desirable_weight"]),
]
READ: list[tuple[dict[str, Any], str]] = [
    (
        {**GROUP, "margin": {"kind": "reward_gap", "scale": 2}, "score": {"beta": 0.1, "reduce": "mean"}},
        "scored",
    ),
    ({**PREFERENCE, "order": "sorted", "center": 0.1, "score": {"beta": 0.3, "reduce": "sum"}}, "pairwise"),
    ({**PREFERENCE, "score": {"of": "f_ratio", "divergence": "alpha", "divergence_alpha": 0.3}}, "pairwise"),
    ({**PREFERENCE, "score": {"tail_weight": 0.5, "tail_of": "policy"}}, "pairwise"),
    ({**POINT, "direction": "label", "desirable_weight": 2, "undesirable_weight": 3}, "pointwise"),
    ({**POINT, "direction": "label", "target": {"kind": "constant", "value": 0.5}}, "pointwise"),
    (
        {**POINT, "direction": "up", "score": {"of": "log_odds", "reduce": "mean", "transform": "2*x"}},
        "pointwise",
    ),
    ({"kind": "kl", "estimator": "k2", "clamp": 2.0, "granularity": "token"}, "pairwise"),
]


@pytest.mark.parametrize(("term", "kind", "fields"), UNREAD, ids=str)
def test_what_is_not_read_is_reported(
    term: dict[str, Any], kind: str, fields: list[str], tmp_path: Path
) -> None:
    assert unread(term, kind, tmp_path) == fields


@pytest.mark.parametrize(("term", "kind"), READ, ids=str)
def test_what_is_read_is_not(term: dict[str, Any], kind: str, tmp_path: Path) -> None:
    assert unread(term, kind, tmp_path) == []

"""The example of a code, completed to a whole spec, is found fault with by that code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from alignc.api import validate
from alignc.diagnostics import CODES

ONLINE = ("ppo", "rloo", "grpo")
GIVEN = {
    "model": "model: {policy: x/y}\n",
    "objective": "objective: {preset: dpo}\n",
    "data": "data: {kind: pairwise, source: x/y}\n",
}
SAMPLED = "data: {kind: prompts, source: x/y, reward: {kind: function, name: 'judges:mark'}}\n"
ELSEWHERE = ("E113", "E305")
"""E113 is said by `diff` and `verify`; before E305 comes E004: `beta` must be above 0."""


def completed(example: str) -> str:
    """Add what an example leaves out: a model, and rows of the kind that its method learns from."""
    text = example.rstrip("\n") + "\n"
    for section, usual in GIVEN.items():
        if not re.search(rf"^{section}:", text, re.M):
            online = any(f"preset: {name}" in text for name in ONLINE)
            text += SAMPLED if section == "data" and online else usual
    return text


@pytest.mark.parametrize("code", [c for c in CODES if re.match("[EW][1-5]", c) and c not in ELSEWHERE])
def test_an_example_earns_its_code(code: str, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(completed(CODES[code].example), "utf-8")
    assert code in [d.code for d in validate(spec).diagnostics]

"""The JSON Schema agrees with the loader: it takes every sound spec and refuses misspelt keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from alignc.diagnostics import DiagnosticError
from alignc.load.load import load
from alignc.load.preset import built_in, preset_names
from alignc.schema.schema import json_schema
from alignc.schema.starter import smallest
from alignc.yaml.source import load_source, parse_source

from .misspelling import misspellings

ROOT = Path(__file__).parents[2]
SPECS = [
    *sorted((ROOT / "examples").glob("*.yaml")),
    *sorted((Path(__file__).parent / "wide").glob("*.yaml")),
]
SCHEMA = json_schema()


def validator() -> Any:
    return Draft202012Validator(SCHEMA)


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_committed_one_is_fresh() -> None:
    committed = (ROOT / "schemas" / "job.schema.json").read_text("utf-8")
    assert json.loads(committed) == SCHEMA, "run `make docs`"


@pytest.mark.parametrize("path", [p for p in SPECS if p.name != "extends.yaml"], ids=lambda p: p.name)
def test_it_takes_a_sound_spec(path: Path) -> None:
    assert [e.message for e in validator().iter_errors(load_source(path).data)] == []


@pytest.mark.parametrize("name", preset_names())
def test_it_takes_the_smallest_spec_of_every_method(name: str) -> None:
    assert validator().is_valid(parse_source(smallest(built_in(name)), "spec").data)


@pytest.mark.parametrize("path", [p for p in SPECS if p.name != "extends.yaml"], ids=lambda p: p.name)
def test_it_refuses_a_misspelt_one(path: Path) -> None:
    check = validator()
    for case in list(misspellings(path))[::17]:
        if "presets/tempered.yaml" in case.place:
            continue  # a schema cannot know the parameters of a preset that stands in a file of its own
        if case.meant not in ("extends", "terms") and case.place[:2] != ("objective", "terms"):
            assert not check.is_valid(parse_source(case.text, "spec").data), (case.meant, case.written)


ONLINE = """model: {policy: x/y}
data: {kind: prompts, source: x/y, completions_per_prompt: 2, reward: {kind: http, url: "http://h/r"}}
"""
PARTS = [
    "{preset: ppo, kl: null}",
    "{preset: ppo, kl: {beta: 0.1, adaptive: {target: 3}}}",
    "{preset: rloo, kl: {estimator: u**2/2, placement: loss}}",
    "{preset: reinforce, baseline: leave_one_out}",
    "{preset: reinforce, baseline: {kind: constant, value: 1}}",
    "{terms: [{name: p, kind: policy_gradient, baseline: batch_mean, surrogate: clipped}]}",
    "{terms: [{name: p, kind: preference, link: hinge, margin: reward_gap}]}",
    "{terms: [{name: p, kind: preference, link: softplus(-z)}]}",
]
WRONG_PARTS = [
    "{preset: ppo, kl: {bta: 0.1}}",
    "{preset: ppo, kl: 0.1}",
    "{preset: reinforce, baseline: leave_out}",
    "{preset: reinforce, baseline: constant}",
    "{preset: reinforce, baseline: {knd: constant}}",
    "{terms: [{name: p, kind: policy_gradient, surrogate: clip}]}",
]


@pytest.mark.parametrize("objective", [*PARTS, *WRONG_PARTS])
def test_it_knows_the_parts_of_a_term(objective: str, tmp_path: Path) -> None:
    """A name stands for a part without other required fields, a parameter for the field of the term that takes it."""
    file = tmp_path / "spec.yaml"
    file.write_text(f"objective: {objective}\n{ONLINE}", "utf-8")
    try:
        load(file)
    except DiagnosticError:
        assert objective in WRONG_PARTS
    else:
        assert objective in PARTS
    assert validator().is_valid(load_source(file).data) is (objective in PARTS)


def test_every_field_is_described() -> None:
    def bare(node: Any, at: str) -> list[str]:
        if isinstance(node, list):
            return [p for i, inner in enumerate(node) for p in bare(inner, f"{at}/{i}")]
        if not isinstance(node, dict):
            return []
        properties = node.get("properties", {})
        missing = [f"{at}/{n}" for n, p in properties.items() if isinstance(p, dict) and not described(p)]
        return missing + [p for key, inner in node.items() for p in bare(inner, f"{at}/{key}")]

    assert bare(SCHEMA, "") == []


def described(field: dict[str, Any]) -> bool:
    return bool(field.get("description")) or "$ref" in field

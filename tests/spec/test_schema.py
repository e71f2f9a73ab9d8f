"""The JSON Schema agrees with the loader: it takes every sound spec and refuses misspelt keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from alignc.spec.preset import built_in, preset_names
from alignc.spec.schema import json_schema
from alignc.spec.source import load_source, parse_source
from alignc.spec.starter import smallest

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

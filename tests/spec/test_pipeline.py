from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import referencing

from alignc.api import lowered, specs_of, validate
from alignc.diagnostics import Diagnostic, DiagnosticError
from alignc.load.load import load
from alignc.load.pipeline import producers, stages
from alignc.schema.schema import json_schema, pipeline_schema
from alignc.yaml.source import load_source

INIT = "{init: llama, tokenizer: bytes, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}"
SFT = f"""\
objective: {{preset: sft}}
model: {{policy: {INIT}}}
data: {{kind: demonstrations, source: demo.jsonl}}
"""
PIPELINE = """\
version: 1
stages:
  - sft.yaml
  - name: dpo
    objective: {preset: dpo}
    model: {policy: {run: sft}}
    data: {kind: pairwise, source: pairs.jsonl}
  - name: simpo
    extends: base.yaml
    model: {policy: {run: dpo}, reference: {kind: path, path: {run: sft.yaml}}}
"""
BASE = "objective: {preset: dpo, beta: 0.5}\ndata: {kind: pairwise, source: pairs.jsonl}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (("sft.yaml", SFT), ("pipe.yaml", PIPELINE), ("base.yaml", BASE)):
        Path(name).write_text(text)
    for name in ("demo.jsonl", "pairs.jsonl"):
        Path(name).write_text("{}\n")
    return tmp_path


def told(path: str) -> list[tuple[str, int, int]]:
    return [(d.code, d.span.line, d.span.column) for d in validate(path).diagnostics]


def refused(text: str) -> tuple[Diagnostic, ...]:
    Path("bad.yaml").write_text(text)
    with pytest.raises(DiagnosticError) as error:
        stages("bad.yaml")
    return error.value.diagnostics


def test_stages_are_files_or_written_out(here: Path):
    assert specs_of("pipe.yaml") == ["sft.yaml", "pipe.yaml#dpo", "pipe.yaml#simpo"]
    assert specs_of("sft.yaml") == ["sft.yaml"]
    assert told("pipe.yaml") == []


def test_names_of_stages_stand_for_their_models(here: Path):
    assert load("pipe.yaml#dpo").job.model.policy == str(here / "runs/sft/model")
    job = load("pipe.yaml#simpo").job
    assert job.model.policy == str(here / "runs/dpo/model")
    assert job.model.reference
    assert job.model.reference.path == str(here / "runs/sft/model")
    assert job.output_dir == str(here / "runs/simpo")
    assert load("pipe.yaml#sft").job.name == "sft"


def test_a_stage_keeps_its_places_and_extends_a_file(here: Path):
    spec = lowered("pipe.yaml#simpo").spec
    assert spec.origin(("model", "policy", "run")) == "pipe.yaml:10:27"
    assert spec.origin(("objective", "beta")) == "base.yaml:1:32"
    assert lowered("pipe.yaml#simpo", ["objective.beta=0.25"]).spec.parameters["beta"].value == 0.25


def test_makers_are_found_wherever_a_run_is_named(here: Path):
    assert producers(load("pipe.yaml#simpo").document) == {
        ("model", "policy"): "pipe.yaml#dpo",
        ("model", "reference", "path"): "sft.yaml",
    }
    assert producers(load("sft.yaml").document) == {}


def test_an_override_may_name_a_stage(here: Path):
    assert load("pipe.yaml#simpo", ["model.policy.run=sft"]).job.model.policy == str(here / "runs/sft/model")


def test_another_spec_may_start_from_a_stage(here: Path):
    Path("own.yaml").write_text(BASE + "model: {policy: {run: 'pipe.yaml#dpo'}}\n")
    assert load("own.yaml").job.model.policy == str(here / "runs/dpo/model")


@pytest.mark.parametrize(
    ("text", "code", "place", "words"),
    [
        ("stages: []\n", "E003", (1, 9), "list"),
        ("stages: sft.yaml\n", "E003", (1, 9), "list"),
        ("version: 2\nstages: [sft.yaml]\n", "E003", (1, 10), "version"),
        ("stages: [sft.yaml]\nnmae: x\n", "E002", (2, 1), "nmae"),
        ("stages: [absent.yaml]\n", "E008", (1, 10), "absent.yaml"),
        ("stages: [pipe.yaml]\n", "E003", (1, 10), "is a pipeline and not a spec"),
        ("stages: [3]\n", "E003", (1, 10), "stage"),
        ("stages:\n  - {objective: {preset: sft}}\n", "E006", (2, 5), "name"),
        ("stages:\n  - {nmae: a, objective: {preset: sft}}\n", "E002", (2, 6), "nmae"),
        ("stages: [sft.yaml, {name: sft}]\n", "E005", (1, 20), "sft"),
    ],
)
def test_what_is_wrong_with_a_list_is_told_in_its_place(
    here: Path, text: str, code: str, place: tuple[int, int], words: str
):
    [found] = refused(text)
    assert (found.code, (found.span.line, found.span.column)) == (code, place)
    assert words in found.message


def test_what_is_wrong_with_stages_is_told_in_their_places(here: Path):
    wrong = PIPELINE.replace("run: sft}", "run: stf}").replace("extends: base.yaml", "extends: basis.yaml")
    Path("pipe.yaml").write_text(wrong)
    assert told("pipe.yaml") == [("E008", 6, 27), ("E008", 9, 14)]
    assert validate("pipe.yaml").diagnostics[0].help == "did you mean `sft`?"


def test_a_missing_field_points_at_its_stage(here: Path):
    Path("pipe.yaml").write_text("stages:\n  - sft.yaml\n  - name: half\n    objective: {preset: sft}\n")
    assert told("pipe.yaml") == [("E006", 3, 5), ("E006", 3, 5)]


def test_stages_that_wait_for_one_another_are_refused(here: Path):
    text = PIPELINE.replace("{policy: {run: sft}}", "{policy: {run: simpo}}")
    Path("pipe.yaml").write_text(text)
    assert {d.code for d in validate("pipe.yaml").diagnostics} == {"E001"}


def test_a_pipeline_is_no_spec(here: Path):
    with pytest.raises(DiagnosticError) as error:
        load("pipe.yaml")
    assert [(d.code, d.span.line) for d in error.value.diagnostics] == [("E003", 2)]


def test_the_schema_takes_what_the_compiler_takes(here: Path):
    job = referencing.Resource.from_contents(json_schema())
    registry = referencing.Registry().with_resource("job.schema.json", job)
    checker = jsonschema.Draft202012Validator(pipeline_schema(), registry=registry)
    assert checker.is_valid(load_source("pipe.yaml").data)
    assert not checker.is_valid({"stages": []})
    assert not checker.is_valid({"stages": ["a.yaml"], "nmae": "x"})
    assert not checker.is_valid({"stages": [{"name": "a", "objective": {"preset": "dpoo"}}]})

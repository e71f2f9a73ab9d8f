"""Commands on several sources of rows: each is shown, and where one is needed that is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SPEC = """\
objective: {terms: [{preset: dpo, beta: 0.3, data: pairs}, {preset: sft, weight: 0.5, data: shown}]}
data:
  sources:
    pairs: {kind: pairwise, source: pairs.jsonl}
    shown: {kind: demonstrations, source: shown.jsonl}
model: {policy: {init: llama, tokenizer: bytes}}
output_dir: run
"""


def spec(folder: Path) -> Path:
    rows = {
        "pairs": {"prompt": "1+1=", "chosen": "2", "rejected": "3"},
        "shown": {"prompt": "1+1=", "completion": "2"},
    }
    for name, row in rows.items():
        (folder / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    path = folder / "spec.yaml"
    path.write_text(SPEC, "utf-8")
    return path


@pytest.mark.parametrize(
    ("point", "code"),
    [
        ({"examples": []}, "E002"),
        ({}, "E006"),
        ({"sources": {"pears": {}}}, "E002"),
        ({"sources": {"pairs": {}}}, "E006"),
    ],
)
def test_a_wrong_point_is_named(alignc: Any, tmp_path: Path, point: Any, code: str) -> None:
    file = tmp_path / "point.json"
    file.write_text(json.dumps(point))
    told = alignc("explain", spec(tmp_path), "--at", file)
    assert told.code == 1
    assert f"error[{code}]" in told.err


@pytest.mark.parametrize("form", ["text", "latex", "html", "json", "mermaid"])
def test_every_format_shows_every_part(alignc: Any, tmp_path: Path, form: str) -> None:
    told = alignc("explain", spec(tmp_path), "--format", form)
    assert told.code == 0, told.err
    parts = {
        "text": "L₂ = ",
        "latex": "L_{2}",
        "html": "spec, shown",
        "json": '"shown"',
        "mermaid": "flowchart",
    }
    assert parts[form] in told.out
    if form == "mermaid":
        assert told.out.count("flowchart") == 2


@pytest.mark.parametrize("command", [("verify",), ("diff", "spec")])
def test_a_command_about_one_source_says_so(alignc: Any, tmp_path: Path, command: tuple[str, ...]) -> None:
    path = spec(tmp_path)
    told = alignc(command[0], path, *([path] * (len(command) - 1)))
    assert told.code == 1
    assert "error[E113]" in told.err
    assert "name one source: --source pairs" in told.err


def test_all_sources_are_planned_together(alignc: Any, tmp_path: Path) -> None:
    told = alignc("plan", spec(tmp_path), "--memory", "999GiB")
    assert told.code == 0, told.err
    for line in ("rows         pairs: 1", "             shown: 1", "steps        3 of 8 rows of each source"):
        assert line in told.out
    found = json.loads(alignc("plan", spec(tmp_path), "--memory", "999GiB", "--format", "json").out)
    assert list(found["sources"]) == ["pairs", "shown"]
    assert found["peak"]["bytes"] == max(phase["total"] for phase in found["phases"])
    named = alignc("plan", spec(tmp_path), "--source", "shown", "--memory", "999GiB", "--format", "json")
    assert "sources" not in json.loads(named.out)
    assert "error[E606]" in alignc("plan", spec(tmp_path), "--memory", "1KiB").err


@pytest.mark.parametrize("command", [("verify",), ("plan",), ("diff", "spec")])
def test_a_source_that_is_named_is_taken_alone(alignc: Any, tmp_path: Path, command: tuple[str, ...]) -> None:
    path = spec(tmp_path)
    option = "--source-a" if command[0] == "diff" else "--source"
    second = {"diff": [path, "--source-b", "shown"], "plan": ["--memory", "999GiB"]}.get(command[0], [])
    told = alignc(command[0], path, *second, option, "pairs")
    assert told.code == 0, told.err
    wanted = {"verify": "claims hold", "plan": "2 per row", "diff": "different"}
    assert wanted[command[0]] in told.out
    misspelt = alignc(command[0], path, *second, option, "pair")
    assert misspelt.code == 1
    assert "there is no source `pair`, did you mean `pairs`?" in misspelt.err


def test_a_spec_of_one_source_has_no_name_for_it(alignc: Any, tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    path.write_text("objective: {preset: dpo}\nmodel: {policy: x/y}\ndata: {kind: pairwise, source: x/y}\n")
    told = alignc("verify", path, "--source", "pairs")
    assert told.code == 1
    assert "this spec has only one source of rows, which has no name" in told.err


def test_the_rows_of_every_source_are_shown(alignc: Any, tmp_path: Path) -> None:
    told = alignc("data", spec(tmp_path))
    assert told.code == 0
    assert "pairs: pairwise" in told.out
    assert "shown: demonstrations" in told.out
    assert list(json.loads(alignc("data", spec(tmp_path), "--json").out)) == ["pairs", "shown"]

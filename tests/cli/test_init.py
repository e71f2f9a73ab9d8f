from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignc.api import validate
from alignc.load.preset import preset_names

from .conftest import Alignc

MODEL = "Qwen/Qwen2.5-0.5B-Instruct"


def rows(path: str, *given: dict[str, object]) -> str:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in given), "utf-8")
    return path


def test_columns_are_proposed(alignc: Alignc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = rows("my.jsonl", {"id": 1, "question": "Sky?", "good": "Blue.", "bad": "Green."})
    done = alignc("init", "--objective", "dpo", "--model", MODEL, "--data", data)
    assert done.code == 0
    assert "my.jsonl: looks like pairwise data: question→prompt, good→chosen, bad→rejected\n" in done.out
    assert Path("spec.yaml").read_text() == (
        "# yaml-language-server: $schema=./alignc.schema.json\n"
        "version: 1\n"
        "name: spec\n"
        "objective: {preset: dpo}\n"
        f"model: {{policy: {MODEL}}}\n"
        "data: {kind: pairwise, source: my.jsonl, columns: {prompt: question, chosen: good, rejected: bad}}\n"
        "output_dir: runs/spec\n"
    )
    assert validate("spec.yaml").diagnostics == ()


@pytest.mark.parametrize(
    ("objective", "row", "kind", "columns"),
    [
        ("sft", {"prompt": "a", "completion": "b"}, "demonstrations", None),
        ("sft", {"instruction": "a", "output": "b"}, "demonstrations",
         {"prompt": "instruction", "completion": "output"}),
        ("sft", {"conversations": [{"role": "user", "content": "a"}]}, "demonstrations", {"messages": "conversations"}),
        ("dpo", {"chosen": "ab", "rejected": "ac"}, "pairwise", None),
        ("dpo", {"x": {"query": "a", "better": "b", "worse": "c"}}, "pairwise",
         {"prompt": "x.query", "chosen": "x.better", "rejected": "x.worse"}),
        ("dpo", {"prompt": "a", "chosen": "b", "rejectd": "c"}, "pairwise", {"rejected": "rejectd"}),
        ("kto", {"prompt": "a", "completion": "b", "kto_tag": True}, "pointwise", {"label": "kto_tag"}),
        ("kto", {"instruction": "a", "input": "", "output": "b", "kto_tag": True}, "pointwise",
         {"prompt": "instruction", "completion": "output", "label": "kto_tag"}),
        ("dpo", {"conversations": [{"from": "human", "value": "a"}], "chosen": {"from": "gpt", "value": "b"},
                 "rejected": {"from": "gpt", "value": "c"}}, "pairwise", {"prompt": "conversations"}),
        ("dpo", {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
                 "rejected_response": "c"}, "pairwise", {"rejected": "rejected_response"}),
        ("dpo", {"instruction": "a", "completions": [{"response": "b", "score": 1}, {"response": "c", "score": 0}]},
         "scored", {"prompt": "instruction"}),
    ],
)  # fmt: skip
def test_what_rows_look_like(
    alignc: Alignc,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    objective: str,
    row: dict[str, object],
    kind: str,
    columns: dict[str, str] | None,
) -> None:
    from alignc.yaml.source import load_source

    monkeypatch.chdir(tmp_path)
    done = alignc("init", "--objective", objective, "--model", MODEL, "--data", rows("d.jsonl", row))
    assert done.code == 0, done.err
    data = load_source("spec.yaml").data["data"]
    assert (data["kind"], data.get("columns")) == (kind, columns)


def test_columns_that_join_the_prompt_and_columns_that_nothing_reads_are_told(
    alignc: Alignc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    row = {"id": 1, "instruction": "a", "input": "b", "system": "s", "chosen": "c", "rejected": "d"}
    done = alignc("init", "--objective", "dpo", "--model", MODEL, "--data", rows("d.jsonl", row))
    assert (
        "d.jsonl: looks like pairwise data: instruction→prompt, chosen, rejected\n"
        "system, input become part of the prompt\n"
        "not read: id\n"
    ) in done.out


def test_columns_that_cannot_be_guessed(
    alignc: Alignc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = alignc("init", "--data", rows("d.jsonl", {"alpha": 1, "omega": 2}))
    assert done.code == 1
    assert (
        "error[E701]: the columns are `alpha`, `omega`; `dpo` needs `prompt`, `chosen`, `rejected`"
        in done.err
    )
    assert not Path("spec.yaml").exists()


def test_nothing_is_overwritten(alignc: Alignc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text("mine")
    done = alignc("init")
    assert (done.code, Path("spec.yaml").read_text()) == (2, "mine")
    assert "--force" in done.err
    assert alignc("init", "--force").code == 0
    assert Path("spec.yaml").read_text() != "mine"


KNOWN = {
    "robust_dpo": {"W410"},  # unbounded below for a single pair: that is what the method is
    "ppo": {"W213"},
    "grpo": {"W206", "W209", "W304", "W307", "W308", "W310"},
    "dr_grpo": {"W304", "W307"},
    "dapo": {"W304", "W307"},
    "gspo": {"W304", "W307", "W310"},
    "cispo": {"W304", "W307"},
    "reinforce_pp": {"W304"},
    "nash_md": {"W209"},
}
"""What is said of methods as their papers have them."""


@pytest.mark.parametrize("name", preset_names())
def test_the_embedded_default_of_every_method(
    alignc: Alignc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    alignc("init", "--objective", name, "-o", "sub/first.yaml")
    text = Path("sub/first.yaml").read_text()
    assert len(text.splitlines()) <= 12
    assert {d.code for d in validate("sub/first.yaml").diagnostics} == KNOWN.get(name, set())
    (data,) = Path("sub").glob("first-*.jsonl")
    assert len(data.read_text().splitlines()) == 64


def test_wrong_names(alignc: Alignc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = alignc("init", "--objective", "dpoo")
    assert (done.code, "did you mean `dpo`?" in done.err) == (1, True)
    done = alignc("init", "--data", "none.jsonl")
    assert (done.code, "error[E008]" in done.err) == (1, True)


def test_a_hub_id_is_taken_as_it_is(alignc: Alignc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert alignc("init", "--model", MODEL, "--data", "trl-lib/ultrafeedback_binarized").code == 0
    assert "source: trl-lib/ultrafeedback_binarized}" in Path("spec.yaml").read_text()


def test_odd_names_are_quoted(alignc: Alignc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = rows("a: {b}, #1.jsonl", {"prompt": "a", "chosen": "b", "rejected": "c"})
    assert alignc("init", "--data", data, "-o", "12.yaml", "--model", "./true").code == 0
    assert [d.code for d in validate("12.yaml").diagnostics] == ["W613"]  # the folder is not there
    Path("true").mkdir()
    Path("true/config.json").write_text("{}")
    assert validate("12.yaml").diagnostics == ()

"""Rewards and oracles in a spec: what is read, what is refused, and where their models come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import alignc.api as api
from alignc.diagnostics import Diagnostic, DiagnosticError
from alignc.load.load import Loaded, load
from alignc.load.paths import missing_files
from alignc.schema.describe import describe
from alignc.schema.schema import json_schema
from alignc.spec.rewards import sources

MODEL = "{init: llama, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("specs").mkdir()
    Path("specs/rows.jsonl").write_text('{"prompt": "1+1=", "answer": "2"}\n')
    pairs = "data: {kind: pairwise, source: rows.jsonl}\n"
    Path("specs/rm.yaml").write_text(
        f"objective: {{preset: reward_model}}\nmodel: {{policy: {MODEL}}}\n{pairs}"
    )


def spec(reward: Any = None, oracle: Any = None, critic: Any = None) -> str:
    """Write a spec (JSON is YAML) in `specs/`; gives its path."""
    judges = {"reward": reward, "oracle": oracle}
    whole = {
        "objective": {"preset": "rloo"},
        "model": {"policy": {"init": "llama"}} | ({"critic": critic} if critic else {}),
        "data": {"kind": "prompts", "source": "rows.jsonl", "completions_per_prompt": 2}
        | {name: value for name, value in judges.items() if value is not None},
    }
    Path("specs/online.yaml").write_text(json.dumps(whole))
    return "specs/online.yaml"


def loaded(**parts: Any) -> Loaded:
    return load(spec(**parts))


def found(**parts: Any) -> list[Diagnostic]:
    with pytest.raises(DiagnosticError) as caught:
        loaded(**parts)
    return list(caught.value.diagnostics)


def verifier(name: str, **parameters: Any) -> dict[str, Any]:
    return {"kind": "verifier", "name": name, **parameters}


@pytest.mark.parametrize(
    ("reward", "dumped"),
    [
        (verifier("exact_number"), {"answer": "answer"}),
        (verifier("exact_match", answer="gold.text", weight=2), {"answer": "gold.text", "weight": 2.0}),
        (verifier("regex", pattern=r"\d+"), {"pattern": r"\d+"}),
        (verifier("length", limit=0), {"limit": 0}),
        (verifier("json"), {"answer": None}),
        ({"kind": "column", "name": "quality"}, {"weight": 1.0}),
        ({"kind": "function", "name": "a.b:c.d"}, {"timeout": 30.0}),
        ({"kind": "http", "url": "http://[::1]:8000/x?y=1"}, {"timeout": 30.0, "retries": 2}),
        ({"kind": "model", "path": "org/reward"}, {"path": "org/reward"}),
    ],
)
def test_a_source_and_its_defaults(reward: dict[str, Any], dumped: dict[str, Any]):
    data = loaded(reward=reward).job.model_dump()["data"]["reward"]
    assert {name: data[name] for name in dumped} == dumped
    assert {"weight": 1.0, **reward, **dumped}.items() == data.items()


@pytest.mark.parametrize(
    ("reward", "code", "said", "help_"),
    [
        (verifier("regex"), "E006", "missing field `pattern` in `data.reward`", None),
        (verifier("length"), "E006", "missing field `limit`", None),
        (verifier("regex", pattern="("), "E003", "not a regular expression: missing )", None),
        (verifier("exact_number", pattern="x"), "E002", "unknown field `pattern`", "answer"),
        (verifier("exact_numbers"), "E003", "`name` has no choice `exact_numbers`", "exact_number"),
        ({"kind": "verifier"}, "E006", "missing field `name`", None),
        ({"kind": "modle", "path": "x"}, "E003", "`kind` has no choice `modle`", "model"),
        ({"kind": "function", "name": "judge"}, "E004", "`name` must be `module:function`", None),
        ({"kind": "function", "name": "os:system; rm"}, "E004", "`name` must be `module:function`", None),
        ({"kind": "function", "name": "a:b", "timeout": 0}, "E004", "`timeout` must be above 0", None),
        ({"kind": "http", "url": "ftp://x/y"}, "E004", "`url` must be `http://HOST/PATH`", None),
        ({"kind": "http", "url": "http://user:secret@x/y"}, "E004", "`url` must be `http://HOST/PATH`", None),
        ({"kind": "model", "path": {"rnu": "rm.yaml"}}, "E002", "unknown field `rnu`", "run"),
        ({"kind": "model", "pth": "x"}, "E002", "unknown field `pth`", "path"),
        ([], "E004", "`reward` must not be empty", None),
        ("exact_number", "E003", "`reward` must be a mapping", None),
    ],
)
def test_a_wrong_source_is_one_finding(reward: Any, code: str, said: str, help_: str | None):
    [one] = found(reward=reward)
    assert one.code == code
    assert said in one.message
    assert help_ is None or f"`{help_}`" in str(one.help) or help_ in str(one.help)


def test_findings_in_a_list_point_at_their_entry():
    text = (
        "objective: {preset: rloo}\nmodel: {policy: {init: llama}}\ndata:\n  kind: prompts\n  source: rows.jsonl\n"
        "  reward:\n    - {kind: verifier, name: length, limt: 3}\n    - {kind: function, nam: 'a:b'}\n"
    )
    Path("specs/two.yaml").write_text(text)
    with pytest.raises(DiagnosticError) as caught:
        load("specs/two.yaml")
    shown = [(d.code, d.span.line, d.span.column, d.help) for d in caught.value.diagnostics]
    assert shown == [("E002", 7, 38, "did you mean `limit`?"), ("E002", 8, 24, "did you mean `name`?")]


@pytest.mark.parametrize(
    ("oracle", "code"),
    [
        ({"kind": "function", "name": "a:b", "weight": 2.0}, "E002"),
        ({"kind": "bradley_terry"}, "E006"),
        ({"kind": "bradley_terry", "reward": {"kind": "column"}}, "E006"),
        ({"kind": "bradley_terry", "reward": {"kind": "column", "name": "r"}, "scale": 0}, "E004"),
        ([{"kind": "function", "name": "a:b"}], "E003"),
    ],
)
def test_a_wrong_oracle(oracle: Any, code: str):
    assert [d.code for d in found(oracle=oracle)] == [code]


def run_of(name: str) -> dict[str, Any]:
    return {"kind": "model", "path": {"run": name}}


def test_models_of_rewards_are_found_wherever_they_stand(tmp_path: Path):
    """A run is that spec's model; a folder is one beside the spec; an id stays."""
    made, near = str(tmp_path / "runs" / "rm" / "model"), str(tmp_path / "specs" / "near")
    several = [run_of("rm.yaml"), verifier("exact_number"), {"kind": "model", "path": "./near"}]
    oracle = {"kind": "bradley_terry", "reward": [run_of("rm.yaml"), {"kind": "model", "path": "org/x"}]}
    job = loaded(
        reward=several, oracle=oracle, critic={"kind": "model", "path": {"run": "rm.yaml"}}
    ).job.model_dump()
    assert [r.get("path") for r in job["data"]["reward"]] == [made, None, near]
    assert [r["path"] for r in job["data"]["oracle"]["reward"]] == [made, "org/x"]
    assert job["model"]["critic"]["path"] == made
    alone = loaded(reward=run_of("rm.yaml"), oracle=run_of("rm.yaml")).job.model_dump()["data"]
    assert (alone["reward"]["path"], alone["oracle"]["path"]) == (made, made)


def test_a_run_that_is_not_there_is_missing():
    spec_ = loaded(reward=[verifier("exact_number"), run_of("mr.yaml")])
    [missing] = missing_files(spec_.job, spec_.document)
    assert (missing.code, missing.message) == ("E008", "there is no file `mr.yaml`")
    assert spec_.document.texts["specs/online.yaml"][missing.span.column - 1 :].startswith('"mr.yaml"')


def test_sources_are_walked_with_their_places():
    function = {"kind": "function", "name": "a:b"}
    whole = {
        "data": {"reward": [function, run_of("x")], "oracle": {"kind": "bradley_terry", "reward": function}}
    }
    assert list(sources(whole)) == [
        (("data", "reward", 0), function),
        (("data", "reward", 1), run_of("x")),
        (("data", "oracle", "reward"), function),
    ]
    assert list(sources({"data": {"oracle": function}})) == [(("data", "oracle"), function)]
    assert list(sources({"data": {"reward": None}})) == list(sources({})) == []


def test_what_is_loaded_is_sound_and_validates_offline():
    report = api.validate(spec(reward=[verifier("exact_number"), {"kind": "function", "name": "no.such:f"}]))
    assert report.sound, report.diagnostics


def test_the_fields_are_described_and_in_the_schema():
    assert [f.default for f in describe("data.reward.both_orders")] == []
    assert [f.type for f in describe("data.oracle.both_orders")] == ["true | false"]
    assert {f.type for f in describe("data.reward.pattern")} == {"text"}
    defined = json_schema()["$defs"]
    assert {
        "AnswerVerifier",
        "RegexVerifier",
        "BradleyTerry",
        "FunctionOracle",
        "HttpReward",
    } <= defined.keys()
    assert defined["RegexVerifier"]["required"] == ["kind", "name", "pattern"]

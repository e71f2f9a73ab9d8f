import json
from pathlib import Path

import jsonschema
import pytest

from alignc.diagnostics import CODES, Diagnostic, Span, render

SCHEMA = json.loads(
    (Path(__file__).parents[1] / "fixtures" / "sarif-2.1.0-part.schema.json").read_text("utf-8")
)
K1 = Diagnostic("E201", "message", Span("specs/s.yaml", 2, 3, 2, 5), "because", "do")


def log(*diagnostics, sources=None):
    data = json.loads(render(diagnostics, "sarif", specs=1, sources=sources or {}))
    jsonschema.Draft7Validator(SCHEMA).validate(data)
    return data["runs"][0]


def prints(*diagnostics, text):
    results = log(*diagnostics, sources={"specs/s.yaml": text})["results"]
    return [result["partialFingerprints"]["alignc/v1"] for result in results]


def test_the_schema_is_a_schema_and_bites():
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    data = json.loads(render([K1], "sarif"))
    region = data["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]
    region["startLine"] = 0
    assert not jsonschema.Draft7Validator(SCHEMA).is_valid(data)


def test_a_result():
    run = log(K1)
    (result,) = run["results"]
    assert result["ruleId"] == "E201"
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == "E201"
    assert result["level"] == "error"
    assert result["message"]["text"] == "message\nWhy: because\nHelp: do"
    (location,) = result["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "specs/s.yaml"},
        "region": {"startLine": 2, "startColumn": 3, "endLine": 2, "endColumn": 5},
    }
    assert run["columnKind"] == "unicodeCodePoints"


def test_rules_come_from_the_table():
    rules = log()["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(CODES)
    rule = rules[list(CODES).index("W206")]
    assert rule["defaultConfiguration"]["level"] == "warning"
    assert rule["help"]["text"] == CODES["W206"].help


def test_every_code_makes_a_valid_result():
    run = log(*(Diagnostic(code, "m", Span.at("s")) for code in CODES))
    assert {result["ruleId"] for result in run["results"]} == set(CODES)
    assert all(run["tool"]["driver"]["rules"][r["ruleIndex"]]["id"] == r["ruleId"] for r in run["results"])


@pytest.mark.parametrize(
    ("file", "uri"),
    [
        ("./a/../b.yaml", "b.yaml"),
        ("ä b#?.yaml", "%C3%A4%20b%23%3F.yaml"),
        ("a:b.yaml", "a%3Ab.yaml"),
        ("--set", "--set"),
        ("s\udcff", "s%FF"),
    ],
)
def test_names_become_uris(file, uri):
    (result,) = log(Diagnostic("E201", "m", Span.at(file)))["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri


def test_paths_are_relative_to_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    inside, outside = str(tmp_path / "work" / "s.yaml"), "../s.yaml"
    results = log(Diagnostic("E201", "a", Span.at(inside)), Diagnostic("E201", "a", Span.at(outside)))[
        "results"
    ]
    uris = {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in results}
    assert uris == {"s.yaml", f"file://{tmp_path}/s.yaml"}


def test_fingerprints_follow_the_line_and_tell_twins_apart():
    moved = Diagnostic("E201", "message", Span("specs/s.yaml", 3, 5, 3, 7))
    (before,) = prints(K1, text="a:\n  k1\n")
    assert prints(moved, text="new: 1\na:\n    k1\n") == [before]
    assert prints(K1, text="a:\n  k2\n") != [before]
    assert prints(Diagnostic("E202", "m", K1.span), text="a:\n  k1\n") != [before]
    first, second = prints(K1, K1, text="a:\n  k1\n")
    assert first == before
    assert second != before

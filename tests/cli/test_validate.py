from __future__ import annotations

import json
from pathlib import Path

from .conftest import Alignc

BAD = "objective: {preset: dpo, bata: 0.1}\nmodel: {policy: org/model}\ndata: {kind: pairwise, source: org/pairs}\n"
WARNED = (
    "objective: {terms: [{name: pref, kind: preference, score: {of: log_prob, anchor: none}}]}\n"
    "model: {policy: org/model}\n"
    "data: {kind: pairwise, source: org/pairs}\n"
)
FULL = """\
error[E002]: unknown field `bata`
  --> bad.yaml:1:26
   |
 1 | objective: {preset: dpo, bata: 0.1}
   |                          ^^^^
   = why:  if alignc ignored a misspelt field, the run would use a default instead of your value
   = help: did you mean `beta`?

Checked 1 spec: 1 error.
"""


def test_a_sound_spec(alignc: Alignc, here: Path) -> None:
    assert alignc("validate", "spec.yaml") == (0, "Checked 1 spec: nothing to report.\n", "")


def test_a_finding_with_its_line(alignc: Alignc, here: Path) -> None:
    Path("bad.yaml").write_text(BAD)
    assert alignc("validate", "bad.yaml") == (1, FULL, "")


def test_json_counts_and_keys(alignc: Alignc, here: Path) -> None:
    Path("bad.yaml").write_text(BAD)
    done = alignc("validate", "bad.yaml", "spec.yaml", "--output-format", "json")
    report = json.loads(done.out)
    assert done.code == 1
    assert {k: report[k] for k in ("specs", "errors", "warnings")} == {"specs": 2, "errors": 1, "warnings": 0}
    (found,) = report["diagnostics"]
    keys = ["code", "severity", "message", "why", "help", "file", "line", "column", "end_line", "end_column"]
    assert list(found) == keys
    assert [found[k] for k in ("code", "file", "line", "column", "end_line", "end_column")] == [
        "E002", "bad.yaml", 1, 26, 1, 30
    ]  # fmt: skip


def test_github_and_sarif(alignc: Alignc, here: Path, monkeypatch: object) -> None:
    Path("bad.yaml").write_text(BAD)
    shown = alignc("validate", "bad.yaml", "--output-format", "github").out
    assert shown.startswith("::error file=bad.yaml,line=1,col=26,")
    sarif = json.loads(alignc("validate", "bad.yaml", "--output-format", "sarif").out)
    assert sarif["runs"][0]["results"][0]["ruleId"] == "E002"


def test_warnings_fail_under_strict_alone(alignc: Alignc, here: Path) -> None:
    Path("warned.yaml").write_text(WARNED)
    assert alignc("validate", "warned.yaml").code == 0
    done = alignc("validate", "warned.yaml", "--strict")
    assert (done.code, "warning[W406]" in done.out) == (1, True)


def test_a_folder_is_its_specs(alignc: Alignc, here: Path) -> None:
    Path("specs").mkdir()
    Path("specs/a.yaml").write_text(BAD)
    Path("specs/b.yml").write_text(WARNED)
    Path("specs/c.txt").write_text("not a spec")
    assert alignc("validate", "specs").out.endswith("Checked 2 specs: 1 error, 1 warning.\n")


def test_a_folder_without_specs_is_wrong_usage(alignc: Alignc, here: Path) -> None:
    Path("empty").mkdir()
    done = alignc("validate", "spec.yaml", "empty")
    assert (done.code, done.out) == (2, "")
    assert "the folder `empty` holds no spec (*.yaml, *.yml)" in done.err


def test_an_override_is_checked_and_shown(alignc: Alignc, here: Path) -> None:
    done = alignc("validate", "spec.yaml", "--set", "train.seed=1", "--set", "train.max_lenght=4")
    assert done.code == 1
    assert "--> --set:2:1\n" in done.out
    assert " 2 | train.max_lenght=4\n   | ^^^^^^^^^^^^^^^^\n" in done.out
    assert "did you mean `max_length`?" in done.out


def test_a_finding_in_a_base_shows_the_bases_line(alignc: Alignc, here: Path) -> None:
    Path("base.yaml").write_text(BAD)
    Path("over.yaml").write_text("extends: base.yaml\n")
    assert " 1 | objective: {preset: dpo, bata: 0.1}\n" in alignc("validate", "over.yaml").out


def test_a_file_that_is_not_there(alignc: Alignc, here: Path) -> None:
    done = alignc("validate", "none.yaml")
    assert (done.code, "error[E008]: there is no file `none.yaml`" in done.out) == (1, True)


def test_usage(alignc: Alignc, here: Path) -> None:
    done = alignc("vaildate", "spec.yaml")
    assert (done.code, done.out) == (2, "")
    assert "did you mean `validate`?" in done.err
    assert alignc("validate").code == 2
    assert alignc("validate", "spec.yaml", "--no-such-option").code == 2

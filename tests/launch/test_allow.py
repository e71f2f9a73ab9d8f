"""What specs may run and reach: where it is read, what is refused before a job starts, and by the job itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import alignc.api as api
from alignc.cli import main
from alignc.diagnostics import Diagnostic, DiagnosticError
from alignc.launch.allow import environment, forbidden, modules, permissions
from alignc.load.load import load
from alignc.schema.allowance import allowance_schema

ONLINE = """\
objective: {preset: rloo}
model: {policy: {init: llama, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2}}
data:
  kind: prompts
  source: rows.jsonl
  completions_per_prompt: 2
  max_new_tokens: 4
  reward:
    - {kind: function, name: "judge:worth"}
    - {kind: verifier, name: length, limit: 3}
train: {max_steps: 1, per_device_train_batch_size: 2, max_length: 32, report_to: []}
output_dir: run
"""
JUDGE = "def worth(prompts, completions, **columns):\n    return [float(len(text)) for text in completions]\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder of specs with one that asks for a function beside it."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("ALIGNC_CACHE", str(tmp_path / "cache")), ("OMP_NUM_THREADS", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ALIGNC_ALLOW", raising=False)
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / "rows.jsonl").write_text("".join(json.dumps({"prompt": f"{i}+1="}) + "\n" for i in range(2)))
    (folder / "online.yaml").write_text(ONLINE)
    (folder / "judge.py").write_text(JUDGE)
    return tmp_path


def refused(**given: Any) -> list[Diagnostic]:
    with pytest.raises(DiagnosticError) as caught:
        api.run("specs/online.yaml", show=lambda line: None, **given)
    return list(caught.value.diagnostics)


def test_a_function_is_refused_before_anything_starts(here: Path):
    [found] = refused()
    assert (found.code, found.span.line, found.span.column) == ("E610", 9, 30)
    assert found.help == (
        'write `functions = ["judge:worth"]` under `[allow]` in `specs/alignc.toml`, or pass --allow-function '
        "judge:worth"
    )
    assert not (here / "run").exists()


def test_the_command_says_so_and_exits_3(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for line, code in ((["--dry-run"], 3), (["--dry-run", "--allow-function", "judge:worth"], 0)):
        monkeypatch.setattr(sys, "argv", ["alignc", "run", "specs/online.yaml", *line])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == code
    assert "error[E610]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("judge", "why"),
    [
        ("def worthy(prompts): pass\n", "raised AttributeError"),
        ("import nowhere_at_all\n", "raised ModuleNotFoundError: No module named 'nowhere_at_all' at "),
        (None, "raised ModuleNotFoundError: No module named 'judge'"),
        ("raise SystemExit(3)\n", "asked its process to exit (3) at "),
    ],
)
def test_a_function_that_cannot_be_loaded_is_told_before_anything_starts(
    here: Path, judge: str | None, why: str
):
    place = here / "specs" / "judge.py"
    place.unlink() if judge is None else place.write_text(judge)
    [found] = refused(allow_functions=["judge:worth"])
    assert (found.code, found.span.line, found.span.column) == ("E612", 9, 30)
    assert found.message == "the reward function `judge:worth` cannot be loaded"
    assert (found.why or "").startswith(why)
    assert not (here / "run").exists()


def test_validating_and_a_dry_run_import_nothing(here: Path, monkeypatch: pytest.MonkeyPatch):
    (here / "specs" / "judge.py").write_text(f"open({str(here / 'canary')!r}, 'w')\nraise SystemExit\n")
    assert api.validate("specs/online.yaml").sound
    monkeypatch.setattr(
        sys,
        "argv",
        ["alignc", "run", "specs/online.yaml", "--dry-run", "--allow-function", "judge:worth"],
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert [d.code for d in refused()] == ["E610"]  # what nobody allowed is not loaded to be told about
    assert not (here / "canary").exists()


def test_the_line_that_is_shown_is_the_line_that_helps(here: Path):
    [found] = refused()
    line = str(found.help).split("`")[1]
    (here / "specs" / "alignc.toml").write_text(f"[allow]\n{line}\n")
    spec = load("specs/online.yaml")
    assert forbidden(spec.job.model_dump(), spec.document, permissions("specs/online.yaml")) == []


def test_the_line_keeps_what_was_allowed(here: Path):
    (here / "alignc.toml").write_text('[allow]\nfunctions = ["other:f"]\n')
    [found] = refused()
    assert 'functions = ["other:f", "judge:worth"]` under `[allow]` in `alignc.toml`' in str(found.help)


@pytest.mark.parametrize(
    ("files", "stop", "allowed"),
    [
        ({"a/b/alignc.toml": "near"}, None, "near"),
        ({"a/b/alignc.toml": "near", "a/alignc.toml": "far"}, "a", "near"),
        ({"a/alignc.toml": "far"}, "a", "far"),
        ({"a/alignc.toml": "far"}, ".git", None),
        ({"alignc.toml": "top"}, ".", "top"),
        ({"alignc.toml": "top"}, "a", None),
        ({"alignc.toml": "top"}, "elsewhere", None),
    ],
)
def test_the_nearest_file_up_to_the_root_counts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    stop: str | None,
    allowed: str | None,
):
    """The root is a checkout's (`a/b` here has the `.git`), or the working directory."""
    for folder in ("a/b/c", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for name, word in files.items():
        (tmp_path / name).write_text(f'[allow]\nfunctions = ["{word}:f"]\nhosts = ["{word}:80"]\n')
    if stop == ".git":
        (tmp_path / "a/b/.git").mkdir()
    monkeypatch.chdir(tmp_path / ("a/b" if stop is None else "elsewhere" if stop == ".git" else stop))
    found = permissions(tmp_path / "a/b/c/spec.yaml", ["flag:f"], ["flag"])
    assert found.functions == (*([f"{allowed}:f"] if allowed else []), "flag:f")
    assert found.hosts == (*([f"{allowed}:80"] if allowed else []), "flag")


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("[allow\n", "E001", (1, 7)),
        ("[alow]\n", "E002", (1, 1)),
        ('[allow]\nhost = ["x"]\n', "E002", (2, 1)),
        ('[allow]\nhosts = "x"\n', "E003", (2, 1)),
        ("[allow]\nfunctions = [1]\n", "E003", (2, 1)),
        ("allow = 1\n", "E003", (1, 1)),
        ('[allow]\nfunctions = ["judge.worth"]\n', "E003", (2, 1)),
        ('# hosts\n\nallow.hosts = "x"\n', "E003", (3, 1)),
        ('[allow]\nhosts = ["http://localhost:8000/x"]\n', "E003", (2, 1)),
    ],
)
def test_a_wrong_file_is_told(here: Path, text: str, code: str, place: tuple[int, int]):
    (here / "specs" / "alignc.toml").write_text(text)
    [found] = refused()
    assert (found.code, found.span.line, found.span.column) == (code, *place)
    assert found.span.file.endswith("specs/alignc.toml")


def test_everything_that_is_wrong_with_a_file_is_told_at_once(here: Path):
    text = '[alow]\nhosts = []\n\n[allow]\nfunction = ["judge:worth"]\nfunctions = ["judge"]\n'
    (here / "specs" / "alignc.toml").write_text(text)
    found = {(d.code, d.span.line): d for d in refused()}
    assert found.keys() == {("E002", 1), ("E002", 5), ("E003", 6)}
    assert found["E002", 1].help == "did you mean `allow`?"
    assert found["E002", 5].help == "did you mean `functions`?"
    assert (
        found["E003", 6].message
        == "`allow.functions` holds `judge`, which does not have the form `module:function`"
    )


def test_the_schema_takes_what_the_reader_takes():
    check = Draft202012Validator(allowance_schema())
    assert check.is_valid({"allow": {"functions": ["a.b:c"], "hosts": ["localhost:8000"]}})
    assert check.is_valid({})
    for wrong in ({"alow": {}}, {"allow": {"host": []}}, {"allow": {"functions": ["a"]}}, {"allow": []}):
        assert not check.is_valid(wrong)


@pytest.mark.parametrize(
    ("url", "hosts", "passed_on"),
    [
        ("http://LOCALHOST:8000/x", ["localhost:8000"], "localhost:8000"),
        ("https://a.example/x", ["A.example:443"], "a.example:443"),
        ("https://a.example/x", ["a.example"], "a.example"),
        ("http://localhost:8000/x", ["localhost", "localhost:80"], None),
    ],
)
def test_hosts(here: Path, url: str, hosts: list[str], passed_on: str | None):
    """What the check before the start allows, the job's own check allows."""
    from alignc.runtime.reward import allowed_names, build_reward

    source = {"kind": "http", "url": url}
    spec = load("specs/online.yaml", [f"data.reward={json.dumps(source)}"])
    job = spec.job.model_dump()
    allowed = permissions("specs/online.yaml", hosts=hosts)
    variables = environment(job, spec.document, allowed)
    assert variables == {"ALIGNC_ALLOW": passed_on or "", "ALIGNC_FUNCTIONS": ""}
    found = forbidden(job, spec.document, allowed)
    assert [d.code for d in found] == ([] if passed_on else ["E611"])
    if passed_on:
        build_reward(job["data"]["reward"], allowed=allowed_names(variables), device="cpu").close()


def test_only_what_a_spec_asks_for_is_handed_on(here: Path):
    spec = load("specs/online.yaml")
    allowed = permissions("specs/online.yaml", ["judge:worth", "other:f"], ["localhost:1"])
    assert environment(spec.job.model_dump(), spec.document, allowed) == {
        "ALIGNC_ALLOW": "judge:worth",
        "ALIGNC_FUNCTIONS": str(here / "specs"),
    }


def test_a_changed_function_is_a_changed_input(here: Path):
    spec = load("specs/online.yaml")
    before = modules(spec.job.model_dump(), spec.document)
    assert list(before) == ["data.reward.0.name"]
    (here / "specs" / "judge.py").write_text(JUDGE + "# another\n")
    assert modules(spec.job.model_dump(), spec.document) != before


def test_a_job_refuses_without_permission_and_runs_with_it(here: Path):
    """Started by hand, without the variables, the job itself says no; alignc hands on what a flag allows."""
    api.compile("specs/online.yaml", "run/job")
    own = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    own["PYTHONPATH"] = str(Path(api.__file__).parents[2])
    by_hand = subprocess.run(
        [str(here / "run" / "job" / "launch.sh")], env=own, capture_output=True, text=True
    )
    assert by_hand.returncode == 3, by_hand.stderr
    [found] = json.loads((here / "run" / "status.json").read_text())["diagnostics"]
    assert found["code"] == "E610"
    assert "ALIGNC_ALLOW=judge:worth" in found["help"]
    ended = api.run("specs/online.yaml", allow_functions=["judge:worth"], show=lambda line: None)
    assert ended.exit_code == 0, (ended.diagnostics, (here / "run" / "run.log").read_text())
    rows = [json.loads(line) for line in (here / "run" / "rollouts.jsonl").read_text().splitlines()]
    assert len(rows) == 4
    assert [row["parts"]["judge:worth"] for row in rows] == [float(len(row["completion"])) for row in rows]

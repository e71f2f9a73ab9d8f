from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignc.launch import Existing, clear, decide, fingerprint, inspect

JOB = {"alignc": "0.1.0", "spec": {"train": {"seed": 1}}, "plan": {}, "origins": {"train.seed": "a.yaml:1:1"}}


@pytest.mark.parametrize(
    ("existing", "resume", "overwrite", "action", "code"),
    [
        (None, False, False, "start", None),
        (None, True, False, "start", None),
        (Existing("a", finished=True), False, False, "up_to_date", None),
        (Existing("a", finished=True), True, False, "up_to_date", None),
        (Existing("a", finished=False), True, False, "resume", None),
        (Existing("a", finished=False), False, False, "refuse", "E604"),
        (Existing("b", finished=True), True, False, "refuse", "E603"),
        (Existing("b", finished=False), False, False, "refuse", "E603"),
        (Existing(None, finished=False), False, False, "refuse", "E603"),
        (Existing("a", finished=True), False, True, "start", None),
        (Existing("b", finished=False), True, True, "start", None),
    ],
)
def test_decide(existing: Existing | None, resume: bool, overwrite: bool, action: str, code: str | None):
    decision = decide(existing, "a", resume=resume, overwrite=overwrite)
    assert (decision.action, decision.code) == (action, code)
    assert bool(decision.help) == (action == "refuse")


def test_refusals_name_the_way_out():
    assert "--overwrite" in decide(Existing("b", True), "a", resume=False, overwrite=False).help
    assert "--resume" in decide(Existing("a", False), "a", resume=False, overwrite=False).help


def test_fingerprint_is_of_what_runs():
    base = fingerprint(JOB, "loss")
    assert fingerprint(JOB | {"origins": {}}, "loss") == base
    others = [
        fingerprint(JOB | {"spec": {"train": {"seed": 2}}}, "loss"),
        fingerprint(JOB, "another loss"),
        fingerprint(JOB, "loss", max_steps=3),
        fingerprint(JOB, "loss", limit=3),
    ]
    assert len({base, *others}) == 5


def test_inspect(tmp_path: Path):
    assert inspect(tmp_path / "absent") is None
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "job").mkdir()
    assert inspect(tmp_path) is None
    (tmp_path / "run.json").write_text(json.dumps({"fingerprint": "a"}))
    assert inspect(tmp_path) == Existing("a", finished=False)
    (tmp_path / "status.json").write_text('{"finished": tr')
    assert inspect(tmp_path) == Existing("a", finished=False)
    (tmp_path / "status.json").write_text('{"finished": true}')
    assert inspect(tmp_path) == Existing("a", finished=True)


def test_clear_takes_what_is_ours_alone(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "checkpoints" / "step-1").mkdir(parents=True)
    (tmp_path / "metrics.jsonl").write_text("{}")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("")
    (tmp_path / "model").symlink_to(elsewhere)
    clear(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "notes.txt"]
    assert (elsewhere / "kept").exists()


def test_a_run_that_failed_before_its_first_step_is_nothing_to_lose(tmp_path: Path):
    (tmp_path / "run.json").write_text('{"fingerprint": "a"}')
    assert inspect(tmp_path) == Existing("a", finished=False)  # it may still be running
    (tmp_path / "status.json").write_text('{"exit": 3, "finished": false, "step": 0}')
    assert inspect(tmp_path) is None
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    assert inspect(tmp_path) == Existing("a", finished=False)

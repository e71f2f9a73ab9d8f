from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignc.launch import Existing, clear, decide, fingerprint, inspect, settings

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


def job(**train: object) -> dict[str, object]:
    return {"alignc": "0.1.0", "spec": {"name": "n", "train": train}}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ((job(seed=1), None, None), (job(seed=1), 70, None), "`--max-steps: none → 70`"),
        ((job(max_steps=None), 9, None), (job(max_steps=70), 9, None), "`train.max_steps: none → 70`"),
        ((job(seed=1), None, None), (job(), None, None), "`train: none → {}`, `train.seed: 1 → none`"),
    ],
)
def test_a_refusal_says_what_differs(before: tuple, after: tuple, said: str):  # type: ignore[type-arg]
    existing = Existing("b", False, settings(*before))
    decision = decide(existing, "a", resume=True, overwrite=False, settings=settings(*after))
    assert decision.why == f"the differences are: {said}"


def test_a_refusal_names_five_settings_at_most():
    before, after = (settings(job(**{f"k{i}": value for i in range(7)})) for value in (0, 1))
    why = decide(Existing("b", True, before), "a", resume=False, overwrite=False, settings=after).why or ""
    assert why.count("→") == 5
    assert why.endswith("`train.k4: 0 → 1` and 2 more")


def test_settings_that_are_the_same_or_unknown():
    same = decide(
        Existing("b", True, settings(job())), "a", resume=False, overwrite=False, settings=settings(job())
    )
    assert "input file" in (same.why or "")
    assert (
        decide(Existing("b", True), "a", resume=False, overwrite=False, settings=settings(job())).why is None
    )


def test_an_output_folder_tells_its_settings(tmp_path: Path):
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "job.json").write_text(json.dumps(job(seed=1)))
    (tmp_path / "run.json").write_text(json.dumps({"fingerprint": "a", "max_steps": 3}))
    found = inspect(tmp_path)
    assert found is not None
    assert found.settings == settings(job(seed=1), 3, None)

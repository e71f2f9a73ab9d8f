from __future__ import annotations

import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from alignc.contract.job import Job, job_from
from alignc.runtime.train.metrics import Recorder, cut_after, group, line_of

from .fixtures import job_data

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:tensorboard", "ignore::DeprecationWarning:google"
)


def make(tmp_path: Path, **train) -> Job:
    return job_from(job_data("sft", tmp_path / "rows.jsonl", tmp_path, **train))


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_lines_are_steps_without_wall_clock(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    recorder = Recorder(make(tmp_path), 2, after=-1)
    recorder.write({"step": 1, "loss": 0.5}, 1.25)
    recorder.write({"step": 2, "loss": 0.25, "eval_loss": 0.3}, 1.5)
    recorder.close()
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 0.25, "eval_loss": 0.3},
    ]
    assert json.loads((tmp_path / "timing.jsonl").read_text().splitlines()[0]) == {"step": 1, "seconds": 1.25}
    assert capsys.readouterr().err.splitlines() == [
        "step 1/2  loss 0.5",
        "step 2/2  loss 0.25  eval_loss 0.3",
    ]


def test_a_resumed_run_goes_on_after_its_checkpoint(tmp_path: Path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    recorder = Recorder(make(tmp_path), 9, after=2)
    recorder.write({"step": 3, "loss": 1.0}, 0.0)
    recorder.close()
    assert steps(tmp_path / "metrics.jsonl") == [1, 2, 3]


def test_a_fresh_run_drops_everything(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0}\n{"step": 1}\n')
    cut_after(path, -1)
    assert path.read_text() == ""


def test_tensorboard_has_the_same_values(tmp_path: Path):
    recorder = Recorder(make(tmp_path, report_to=["tensorboard"]), 2, after=-1)
    for step in (1, 2):
        recorder.write({"step": step, "loss": 0.5 * step, "eval_loss": 1.0}, 0.0)
    recorder.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(each.step, each.value) for each in events.Scalars("train/loss")] == [(1, 0.5), (2, 1.0)]
    assert [each.step for each in events.Scalars("eval/loss")] == [1, 2]


def test_names():
    assert group("eval_rewards/margins") == "eval/rewards/margins"
    assert group("loss") == "train/loss"
    assert line_of({"step": 5, "loss": 0.123456}, 5, 100) == "step   5/100  loss 0.1235"

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alignc.contract.failure import Failure
from alignc.runtime.train.identity import identity_of, require_same

from .fixtures import job_data, write_job, write_pairs
from .forks import Forks


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    process = Forks(tmp_path_factory.mktemp("cache"))
    yield process
    process.close()


def make(folder: Path, **train: Any) -> Path:
    source = folder / "rows.jsonl"
    return write_job(folder / "run" / "job", job_data("sft", source, folder / "run", **train))


@pytest.mark.parametrize(
    ("section", "key", "value", "same"),
    [
        ("train", "seed", 43, False),
        ("train", "max_steps", 7, False),
        ("data", "max_rows", 5, False),
        ("train", "save_steps", 7, True),
        ("train", "report_to", ["tensorboard"], True),
        ("launch", "num_processes", 2, True),
    ],
)
def test_what_decides_the_weights_counts(tmp_path: Path, section: str, key: str, value: Any, same: bool):
    job = make(tmp_path)
    before = identity_of(job)["digest"]
    data = json.loads((job / "job.json").read_text())
    data["spec"][section][key] = value
    data["spec"]["output_dir"] = "/elsewhere"
    data["origins"] = {"train.seed": "spec.yaml:1:1"}
    (job / "job.json").write_text(json.dumps(data))
    assert (identity_of(job)["digest"] == before) is same


def test_the_loss_counts(tmp_path: Path):
    job = make(tmp_path)
    before = identity_of(job)
    (job / "loss.py").write_text("loss = None\n")
    (tmp_path / "job.json").write_text(json.dumps(before))
    with pytest.raises(Failure, match="E603") as raised:
        require_same(tmp_path, identity_of(job))
    assert raised.value.why == "these settings have changed: loss.py"


def test_checkpoints_of_another_job_are_refused(forks: Forks, tmp_path: Path):
    write_pairs(tmp_path / "rows.jsonl", 8, "sft")
    make(tmp_path, max_steps=2)
    script = tmp_path / "run" / "job" / "train.py"
    assert forks.run(script)["status"] == 0
    kept = {p: p.read_bytes() for p in (tmp_path / "run" / "checkpoints").rglob("*") if p.is_file()}
    make(tmp_path, max_steps=4, seed=7)
    assert forks.run(script, "--resume")["status"] == 3
    (found,) = json.loads((tmp_path / "run" / "status.json").read_text())["diagnostics"]
    assert found["code"] == "E603"
    assert found["why"] == "these settings have changed: train.max_steps, train.seed"
    assert "output_dir" in found["help"]
    assert {p: p.read_bytes() for p in kept} == kept
    make(tmp_path, max_steps=2, save_total_limit=1)
    assert forks.run(script, "--resume")["status"] == 0


def test_a_checkpoint_without_an_identity_is_refused(forks: Forks, tmp_path: Path):
    write_pairs(tmp_path / "rows.jsonl", 8, "sft")
    make(tmp_path, max_steps=2)
    script = tmp_path / "run" / "job" / "train.py"
    assert forks.run(script)["status"] == 0
    folder = tmp_path / "run" / "checkpoints" / "step-2"
    listed = json.loads((folder / "manifest.json").read_text())
    del listed["job.json"]
    (folder / "manifest.json").write_text(json.dumps(listed))
    (folder / "job.json").unlink()
    assert forks.run(script, "--resume")["status"] == 3
    (found,) = json.loads((tmp_path / "run" / "status.json").read_text())["diagnostics"]
    assert (found["code"], found["why"]) == ("E603", "the checkpoint does not name its job")

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import torch

from alignc.contract.failure import Failure
from alignc.runtime.base import fsops
from alignc.runtime.train import checkpoint
from alignc.runtime.train.checkpoint import TrainerState

OPERATIONS = ("make_folder", "write_text", "sync_tree", "rename", "remove")


IDENTITY = {"digest": "a", "spec": {"train": {"seed": 1}}, "plan": {}, "loss.py": "b"}


def write(folder: Path) -> None:
    checkpoint.write_optimizer(folder, {"w/exp_avg": torch.arange(3.0)})


def save(root: Path, step: int, keep: int = 2, best: int | None = None) -> Path:
    state = TrainerState(step=step, best=None if best is None else {"step": best, "value": 0.5})
    return checkpoint.commit(root, state, write, keep, IDENTITY)


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_round_trip(tmp_path: Path):
    folder = save(tmp_path, 7)
    assert checkpoint.damage(folder) is None
    assert checkpoint.read_state(folder, IDENTITY) == TrainerState(step=7)
    assert checkpoint.read_optimizer(folder)["w/exp_avg"].tolist() == [0.0, 1.0, 2.0]


def test_old_ones_go_and_the_best_stays(tmp_path: Path):
    for step in (1, 2, 3, 4):
        save(tmp_path, step, keep=2, best=1)
    assert names(tmp_path) == ["step-1", "step-3", "step-4"]


def test_newest_is_by_number(tmp_path: Path):
    for step in (9, 10):
        save(tmp_path, step)
    found = checkpoint.newest(tmp_path, pytest.fail)
    assert found is not None
    assert found.name == "step-10"


@pytest.mark.parametrize("harm", ["truncate", "flip", "delete", "manifest"])
def test_a_damaged_checkpoint_is_reported_and_passed_over(tmp_path: Path, harm: str):
    save(tmp_path, 1)
    folder = save(tmp_path, 2)
    target = folder / ("manifest.json" if harm == "manifest" else "optimizer.safetensors")
    data = target.read_bytes()
    if harm == "delete":
        target.unlink()
    else:
        target.write_bytes(bytes([data[0] ^ 1]) + data[1:] if harm == "flip" else data[: len(data) // 2])
    reports: list[str] = []
    found = checkpoint.newest(tmp_path, reports.append)
    assert found is not None
    assert found.name == "step-1"
    assert len(reports) == 1
    assert "step-2" in reports[0]


def test_a_state_of_another_version_is_a_diagnostic(tmp_path: Path):
    folder = save(tmp_path, 1)
    (folder / "trainer_state.json").write_text(json.dumps({"unheard_of": 1}))
    with pytest.raises(Failure, match="E805"):
        checkpoint.read_state(folder, IDENTITY)


def kill_at(count: int, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the count-th file-system operation die before, halfway or after."""
    left = [count]

    def deadly(name: str):
        real = getattr(fsops, name)

        def call(*args):
            left[0] -= 1
            if left[0] == 0 and when == "half" and name == "write_text":
                args[0].write_text(args[1][: len(args[1]) // 2])
            if left[0] == 0 and when != "after":
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*args)
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name in OPERATIONS:
        monkeypatch.setattr(fsops, name, deadly(name))


@pytest.mark.parametrize("when", ["before", "half", "after"])
def test_no_kill_loses_the_last_whole_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str):
    died = 0
    for count in range(1, 13):
        root = tmp_path / str(count)
        save(root, 1, keep=1)
        child = os.fork()
        if child == 0:
            kill_at(count, when, monkeypatch)
            save(root, 2, keep=1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        died += os.WIFSIGNALED(status)
        found = checkpoint.newest(root, pytest.fail)
        assert found is not None
        assert checkpoint.read_state(found, IDENTITY).step in (1, 2)
        save(root, 3, keep=1)
        assert names(root) == ["step-3"]
    assert died >= 7


def test_a_step_of_another_job_is_written_again(tmp_path: Path):
    folder = save(tmp_path, 3)
    before = (folder / "optimizer.safetensors").stat().st_ino
    assert (save(tmp_path, 3) / "optimizer.safetensors").stat().st_ino == before
    other = IDENTITY | {"digest": "c", "loss.py": "d"}
    checkpoint.commit(tmp_path, TrainerState(step=3), write, 2, other)
    assert checkpoint.read_state(folder, other) == TrainerState(step=3)
    with pytest.raises(Failure, match="E603"):
        checkpoint.read_state(folder, IDENTITY)

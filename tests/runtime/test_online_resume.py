"""A run killed anywhere and resumed ends as one that never stopped, to the byte."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from .forks import Forks
from .online_jobs import OBJECTIVES, online_script

KILLED = -9


def results(script: Path) -> dict[str, bytes]:
    """What a run leaves that must be the same: metrics, answers, the model, the last checkpoint."""
    output = script.parents[1]
    last = max((output / "checkpoints").glob("step-*"), key=lambda path: int(path.name[5:]))
    names = [output / name for name in ("metrics.jsonl", "rollouts.jsonl", "model/model.safetensors")]
    files = [*names, *(path for path in sorted(last.rglob("*")) if path.suffix in (".safetensors", ".json"))]
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in files
        if path.name not in ("job.json", "manifest.json")
    }


@pytest.fixture(scope="module")
def whole(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[dict[str, bytes], int, float]]:
    """Uninterrupted runs: their results, how many operations on files they took, and how many seconds."""
    found = {}
    for name in OBJECTIVES:
        script = online_script(tmp_path_factory.mktemp("whole") / name, name)
        began = time.monotonic()
        answer = forks.run(script)
        seconds = time.monotonic() - began
        log = script.parents[1] / "crash.log"
        assert answer["status"] == 0, (
            log.read_text() if log.exists() else (script.parents[1] / "status.json").read_text()
        )
        found[name] = (results(script), answer["operations"], seconds)
    return found


def finish(forks: Forks, script: Path) -> dict[str, bytes]:
    answer = forks.run(script, "--resume")
    assert answer["status"] == 0
    assert not (script.parents[1] / "crash.log").exists()
    return results(script)


@pytest.mark.parametrize("when", ["before", "half", "after"])
def test_killed_at_operations_on_files(forks: Forks, whole: Any, tmp_path: Path, when: str):
    expected, operations, _ = whole["ppo_critic"]
    script = online_script(tmp_path / "job", "ppo_critic")
    killed = 0
    for part in (2, 8, 15, 25):  # the first checkpoints, their removal, the files of metrics and answers
        answer = forks.run(script, "--resume", operation=max(2, operations * part // 60), when=when)
        killed += answer["status"] == KILLED
    assert killed == 4
    assert finish(forks, script) == expected


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_killed_at_any_time(forks: Forks, whole: Any, tmp_path: Path, name: str):
    expected, _, seconds = whole[name]
    script, limit = online_script(tmp_path / "job", name), seconds
    draw, killed = random.Random(5), 0
    for attempt in range(12):
        answer = forks.run(script, "--resume", after=draw.uniform(0.1, 0.6) * limit)
        killed += answer["status"] == KILLED
        if not killed:  # it was done before its time: again, and sooner
            script, limit = online_script(tmp_path / f"job{attempt}", name), limit / 2
        if killed == 4:
            break
    assert killed >= 1
    assert finish(forks, script) == expected

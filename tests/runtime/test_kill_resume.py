from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .fixtures import job_data, write_job, write_pairs
from .forks import Forks

KILLED = -9
TRAIN: dict[str, Any] = {"eval_steps": 4, "save_steps": 2, "num_train_epochs": 2.0, "weight_decay": 0.1}
RESULTS = ("metrics.jsonl", "model/model.safetensors", "model/config.json")


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    process = Forks(tmp_path_factory.mktemp("cache"))
    yield process
    process.close()


def make_job(folder: Path, kind: str) -> Path:
    folder.mkdir()
    source = write_pairs(folder / "rows.jsonl", 16, kind)
    data = job_data(kind, source, folder / "run", data={"eval": {"fraction": 0.25}}, **TRAIN)
    return write_job(folder / "run" / "job", data) / "train.py"


def results(script: Path) -> dict[str, bytes]:
    """What a run leaves that must be the same, to the bit."""
    output = script.parents[1]
    found = {name: (output / name).read_bytes() for name in RESULTS}
    last = max((output / "checkpoints").glob("step-*"), key=lambda path: int(path.name[5:]))
    names = ("model.safetensors", "optimizer.safetensors", "trainer_state.json")
    return (
        found | {f"last/{name}": (last / name).read_bytes() for name in names} | {"step": last.name.encode()}
    )


@pytest.fixture(scope="module")
def whole(
    forks: Forks, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[dict[str, bytes], int, float]]:
    """Uninterrupted runs: their results, how many operations on files they took, and how many seconds."""
    found = {}
    for kind in ("dpo", "sft"):
        folder = tmp_path_factory.mktemp("whole") / kind
        script = make_job(folder, kind)
        began = time.monotonic()
        answer = forks.run(script, cache=folder / "cache")
        seconds = time.monotonic() - began
        assert answer["status"] == 0, (script.parents[1] / "crash.log").read_text()
        found[kind] = (results(script), answer["operations"], seconds)
    return found


def finish(forks: Forks, script: Path, cache: Path) -> dict[str, bytes]:
    answer = forks.run(script, "--resume", cache=cache)
    assert answer["status"] == 0
    assert not (script.parents[1] / "crash.log").exists()
    return results(script)


@pytest.mark.parametrize("when", ["before", "half", "after"])
def test_killed_at_operations_on_files(forks: Forks, whole: Any, tmp_path: Path, when: str):
    expected, operations, _ = whole["dpo"]
    script = make_job(tmp_path / "job", "dpo")
    killed = 0
    for part in (1, 3, 12, 20, 30):  # the reference cache, the metrics, the first checkpoints, their removal
        answer = forks.run(
            script, "--resume", cache=tmp_path / "cache", operation=max(2, operations * part // 60), when=when
        )
        killed += answer["status"] == KILLED
    assert killed == 5
    assert finish(forks, script, tmp_path / "cache") == expected


@pytest.mark.parametrize("kind", ["dpo", "sft"])
def test_killed_at_any_time(forks: Forks, whole: Any, tmp_path: Path, kind: str):
    expected, _, seconds = whole[kind]
    script, limit = make_job(tmp_path / "job", kind), seconds
    draw, killed = random.Random(5), 0
    for attempt in range(12):
        after = draw.uniform(0.1, 0.6) * limit
        answer = forks.run(script, "--resume", cache=tmp_path / "cache", after=after)
        killed += answer["status"] == KILLED
        if not killed:  # it was done before its time: again, and sooner
            script, limit = make_job(tmp_path / f"job{attempt}", kind), limit / 2
        if killed == 5:
            break
    assert killed >= 1
    assert finish(forks, script, tmp_path / "cache") == expected


def test_the_same_seed_gives_the_same_bits_and_another_does_not(forks: Forks, whole: Any, tmp_path: Path):
    expected, _, _ = whole["sft"]
    script = make_job(tmp_path / "job", "sft")
    assert finish(forks, script, tmp_path / "cache") == expected
    job = script.with_name("job.json")
    data = json.loads(job.read_text())
    data["spec"]["train"]["seed"] = 43
    data["spec"]["output_dir"] = str(tmp_path / "other")
    job.write_text(json.dumps(data))
    assert forks.run(script, cache=tmp_path / "cache")["status"] == 0
    assert (tmp_path / "other" / "metrics.jsonl").read_bytes() != expected["metrics.jsonl"]

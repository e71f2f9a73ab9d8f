"""Online jobs on two processes against one: what is sampled, losses, gradients and weights, and resuming."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from alignc.launch import launch

from .fixtures import job_data, write_job
from .forks import Forks
from .online_jobs import online_script, read_rows
from .test_engines import LOOP

pytestmark = pytest.mark.engines

ENGINES = {"ddp": {"engine": "accelerate"}, "zero2": {"engine": "deepspeed", "zero_stage": 2}}
ADAPTER = {"adapter": {"kind": "lora", "r": 2, "alpha": 4.0}}
CASES: dict[
    str, dict[str, Any]
] = {  # 13 prompts in rollouts of 4: in the last one, the second rank has nothing
    "ppo_critic": {},
    "grpo": {"model": ADAPTER},
    "full": {"model": ADAPTER},
    "sppo": {},
}
SAMPLED = ("rollout", "row", "sample", "completion", "ended", "reward", "win_rate")


def make(folder: Path, batch: int, **launched: Any) -> dict[str, Path]:
    train = {"optim": "sgd", "learning_rate": 0.1, "per_device_train_batch_size": batch, "save_steps": 1}
    return {
        name: online_script(folder / name, name, train=train, launch={"timeout": 300, **launched}, **case)
        for name, case in CASES.items()
    }


def online_loop() -> str:
    """The loop over jobs, for jobs that stand one folder deeper."""
    found = LOOP.replace('glob("*/job/train.py")', 'glob("*/run/job/train.py")')
    kept = 'script.parents[2] / "kept" / script.parents[1].name'
    assert kept in found
    return found.replace(kept, 'HERE.parents[1] / "kept" / script.parents[2].name')


@pytest.fixture(scope="module")
def alone(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = make(tmp_path_factory.mktemp("alone"), 2)
    for name, script in made.items():
        assert forks.run(script)["status"] == 0, name
    return made


@pytest.mark.parametrize("engine", ENGINES)
def test_engine(engine: str, alone: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALIGNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    section = {"num_processes": 2, **ENGINES[engine]}
    runs = tmp_path / "runs"
    made = make(runs, 1, **section)
    loop = write_job(runs / "loop" / "job", job_data("sft", tmp_path, runs / "loop", launch=section))
    (loop / "train.py").write_text(online_loop())
    outcome = launch(loop, fingerprint="", show=lambda line: None)
    assert outcome.exit_code == 0, (outcome, (runs / "loop" / "run.log").read_text()[-3000:])
    for name, script in made.items():
        compare(alone[name], runs / "kept" / name)
        assert_resumed(runs / "kept" / name, script.parents[1])


def compare(alone: Path, output: Path) -> None:
    """The same answers are sampled; the numbers agree as far as rounding goes."""
    recorded = [json.loads(line) for line in (output / "rollouts.jsonl").read_text().splitlines()]
    expected = read_rows(alone, "rollouts.jsonl")
    assert len(recorded) == len(expected)
    for wanted, row in zip(expected, recorded, strict=True):
        assert {key: row[key] for key in SAMPLED if key in row} == pytest.approx(
            {key: wanted[key] for key in SAMPLED if key in wanted}
        )
    logged = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    for wanted, row in zip(read_rows(alone), logged, strict=True):
        assert row == pytest.approx(wanted, rel=2e-4, abs=2e-5)
    for path in sorted((alone.parents[1] / "model").rglob("*.safetensors")):
        got = load_file(output / path.relative_to(alone.parents[1]))
        for key, value in load_file(path).items():
            torch.testing.assert_close(got[key], value, rtol=0, atol=1e-5)


def assert_resumed(whole: Path, resumed: Path) -> None:
    """A run that goes on from its last rollout but one ends in the same bits."""
    for name in ("metrics.jsonl", "rollouts.jsonl"):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()
    files = sorted((whole / "model").rglob("*.safetensors"))
    assert files
    for path in files:
        assert (resumed / path.relative_to(whole)).read_bytes() == path.read_bytes()

"""Every engine against one process on the same global batch: losses, gradient norms, weights, and resuming."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from alignc.launch import launch

from .fixtures import job_data, write_job, write_pairs
from .forks import Forks

pytestmark = pytest.mark.engines

ADAPTER = {"kind": "lora", "r": 2, "alpha": 4.0, "dropout": 0.0, "target_modules": "all-linear"}
LORA = {"adapter": ADAPTER, "reference": {"kind": "adapter_off", "path": None}}
SGD = {"optim": "sgd", "learning_rate": 0.1, "gradient_accumulation_steps": 2, "save_steps": 1}
CASES: dict[str, dict[str, Any]] = {  # 21 rows: the last step has one row, and the second rank none
    "dpo-packed": {"kind": "dpo", "layout": "packed"},
    "sft-padded": {"kind": "sft", "layout": "padded", "activation_checkpointing": True},
    "dpo-lora": {"kind": "dpo", "model": LORA},
    "sft-adamw": {"kind": "sft", "optim": "adamw_torch", "learning_rate": 0.001, "weight_decay": 0.1},
}
ENGINES = {
    "ddp": {"engine": "accelerate"},
    "zero2": {"engine": "deepspeed", "zero_stage": 2},
    "zero3": {"engine": "deepspeed", "zero_stage": 3},
}
LOOP = """
import os, runpy, shutil, sys
from pathlib import Path

import torch

from alignc.runtime.train.run_job import run_job

HERE = Path(__file__).resolve().parent
leave = torch.distributed.destroy_process_group
torch.distributed.destroy_process_group = lambda *group: None


def run(script, *arguments):
    sys.argv, before = [str(script), *arguments], list(sys.path)
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as wish:
        assert wish.code == 0, script
    finally:
        sys.modules.pop("loss", None)
        sys.path[:] = before


def main(_):
    jobs = sorted(HERE.parents[1].glob("*/job/train.py"))
    for script in (path for path in jobs if path.parent != HERE):
        run(script)
        last = max((script.parents[1] / "checkpoints").glob("step-*"), key=lambda path: int(path.name[5:]))
        torch.distributed.barrier()
        if os.environ["RANK"] == "0":
            shutil.copytree(script.parents[1], script.parents[2] / "kept" / script.parents[1].name)
            shutil.rmtree(last)
        torch.distributed.barrier()
        run(script, "--resume")
    leave()


if __name__ == "__main__":
    sys.exit(run_job(HERE, main, []))
"""


def make(folder: Path, launch_section: dict[str, Any], batch: int) -> dict[str, Path]:
    folder.mkdir()
    made = {}
    for name, case in CASES.items():
        options = {**SGD, "per_device_train_batch_size": batch} | case
        kind = options.pop("kind")
        source = write_pairs(folder / f"{name}.jsonl", 21, kind)
        data = job_data(kind, source, folder / name, launch=launch_section, **options)
        made[name] = write_job(folder / name / "job", data)
    return made


def rows(output: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(
        next(path for path in folder.glob("*.safetensors") if path.name != "optimizer.safetensors")
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same jobs on one process."""
    root = tmp_path_factory.mktemp("alone")
    process = Forks(root / "cache")
    for name, job in make(root / "runs", {}, 2).items():
        assert process.run(job / "train.py")["status"] == 0, name
    process.close()
    return root / "runs"


@pytest.mark.parametrize("engine", ENGINES)
def test_engine(engine: str, alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALIGNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    section = {"num_processes": 2, **ENGINES[engine]}
    runs = tmp_path / "runs"
    make(runs, section, 1)
    loop = write_job(runs / "loop" / "job", job_data("sft", tmp_path, runs / "loop", launch=section))
    (loop / "train.py").write_text(LOOP)
    shown: list[str] = []
    outcome = launch(loop, fingerprint="", show=shown.append)
    assert outcome.exit_code == 0, (outcome, (runs / "loop" / "run.log").read_text()[-3000:])
    for name in CASES:
        compare(alone / name, runs / "kept" / name, 1e-4 if name == "sft-adamw" else 2e-6)
        assert_resumed(runs / "kept" / name, runs / name)
    assert any("the model is in" in line for line in shown)


def compare(one: Path, two: Path, drift: float) -> None:
    """The first loss and gradient agree to rounding; later steps within what rounding grows to."""
    expected, got = rows(one), rows(two)
    assert [row["step"] for row in got] == [row["step"] for row in expected] == [1, 2, 3, 4, 5, 6]
    for wanted, row in zip(expected, got, strict=True):
        limit = 1e-6 if row["step"] == 1 else max(drift, 1e-5)
        assert row == pytest.approx(wanted, rel=limit, abs=limit)
    for folder, limit in (("checkpoints/step-5", drift), ("model", drift)):
        wanted_weights, got_weights = weights(one / folder), weights(two / folder)
        assert got_weights.keys() == wanted_weights.keys()
        for key, value in wanted_weights.items():
            torch.testing.assert_close(got_weights[key], value, rtol=0, atol=limit)


def assert_resumed(whole: Path, resumed: Path) -> None:
    """A run that goes on from its last checkpoint but one ends in the same bits, on every engine."""
    assert (resumed / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    for name in (
        "model/README.md",
        *(path.relative_to(whole) for path in (whole / "model").glob("*.safetensors")),
    ):
        if str(name) != "model/README.md":
            assert (resumed / name).read_bytes() == (whole / name).read_bytes()
    step = "checkpoints/step-6"
    for path in (whole / step).glob("*.safetensors"):
        assert (resumed / step / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_dead_rank_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ALIGNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    source = write_pairs(tmp_path / "rows.jsonl", 8, "sft")
    data = job_data("sft", source, tmp_path / "run", launch={"num_processes": 2}, max_steps=10_000)
    job = write_job(tmp_path / "run" / "job", data)
    script = job / "train.py"
    death = (
        "import os, signal\n"
        'if os.environ["RANK"] == "1" and step.number == 3:\n    os.kill(os.getpid(), signal.SIGKILL)\n'
    )
    marker = "        batches = [source.batch(step)"
    deadly = "".join(f"        {line}\n" for line in death.splitlines()) + marker
    script.write_text(script.read_text().replace(marker, deadly))
    outcome = launch(job, fingerprint="", show=lambda line: None)
    assert outcome.exit_code == 4
    assert [each["code"] for each in outcome.diagnostics] == ["E803"]
    assert "rank 1 of 2" in outcome.diagnostics[0]["message"]
    assert shutil.rmtree(tmp_path / "run") is None  # nobody writes there any more

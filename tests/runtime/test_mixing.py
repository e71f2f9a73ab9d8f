"""Several sources in one step: the sum of their losses and gradients, one value for every split, resumed to the bit."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from alignc.contract.job import read_job
from alignc.runtime.after.held_out import generated
from alignc.runtime.data import Dataset
from alignc.runtime.data.batches import RowOrder
from alignc.runtime.data.tokenizer import load_tokenizer
from alignc.runtime.ranks.pulse import Pulse
from alignc.runtime.ranks.run import Options, Run
from alignc.runtime.ranks.world import World
from alignc.runtime.train.row_sources import load_sources

from .compiled import TINY, metrics, start, state, write_rows
from .forks import Forks

KINDS = {"pairs": "pairwise", "marks": "pointwise", "shown": "demonstrations"}
TERMS: dict[str, dict[str, Any]] = {
    "pairs": {"preset": "dpo", "beta": 0.5},
    "marks": {"preset": "kto", "beta": 0.5},
    "shown": {"preset": "sft"},
}
WEIGHTS = {"pairs": 1.0, "marks": 1.0, "shown": 0.2}
ROWS = {"pairs": 19, "marks": 11, "shown": 7}
WIDE = {"model": {"dtype": "float64"}}
CLOSED = """    import weakref
    wrapped = weakref.ref(engine.scorer)
    engine.close()
    if type(wrapped()).__name__ == "DistributedDataParallel":  # it must not outlive the process group
        raise AssertionError("DDP is still alive")
"""
PLAIN = {"max_grad_norm": 0, "save_steps": 1, "save_total_limit": 9}


def sources(folder: Path, rows: dict[str, int], **each: Any) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    return {
        name: {"kind": KINDS[name], "source": str(write_rows(folder / f"{name}.jsonl", KINDS[name], n))}
        | each
        for name, n in rows.items()
    }


def mix(folder: Path, rows: dict[str, int], train: dict[str, Any], **sections: Any) -> Path:
    terms = [{**TERMS[name], "weight": WEIGHTS[name], "data": name} for name in rows]
    given = sources(folder, rows, **sections.pop("each", {}))
    return script_of(folder, {"terms": terms}, {"sources": given}, PLAIN | train, **sections)


def single(folder: Path, name: str, rows: int, train: dict[str, Any]) -> Path:
    given = sources(folder, {name: rows})[name]
    return script_of(folder, TERMS[name], given, PLAIN | train)


def script_of(folder: Path, objective: Any, data: Any, train: Any, **sections: Any) -> Path:
    """Compile a job; its section of rows is laid over that of one source, which several have nothing of."""
    from alignc.api import compile as compiled

    spec = {
        "objective": objective,
        "model": {"policy": TINY} | WIDE["model"] | sections.get("model", {}),
        "data": data,
        "train": {
            "learning_rate": 0.3,
            "optim": "sgd",
            "max_length": 48,
            "report_to": [],
            "num_train_epochs": 1,
        }
        | train,
        "launch": {"timeout": 300} | sections.get("launch", {}),
        "output_dir": str(folder / "run"),
    }
    (folder / "spec.yaml").write_text(json.dumps(spec))
    compiled(folder / "spec.yaml", folder / "run" / "job")
    return folder / "run" / "job" / "train.py"


def run(forks: Forks, script: Path, *arguments: str) -> list[dict[str, float]]:
    answer = forks.run(script, *arguments)
    assert answer["status"] == 0, (script.parents[1] / "crash.log").read_text()
    return metrics(script)


def weights(script: Path, folder: str = "model") -> dict[str, torch.Tensor]:
    return load_file(script.parents[1] / folder / "model.safetensors")


def test_loss_and_gradient_are_the_weighted_sum(forks: Forks, tmp_path: Path):
    """All rows are one batch, so that plain descent moves every weight by the rate times its gradient."""
    train = {"per_device_train_batch_size": 20, "max_steps": 2}
    whole = mix(tmp_path / "mix", ROWS, train)
    alone = {name: single(tmp_path / name, name, n, train) for name, n in ROWS.items()}
    rows = run(forks, whole)
    first = {name: run(forks, script)[0] for name, script in alone.items()}
    assert rows[0]["loss"] == pytest.approx(
        sum(WEIGHTS[n] * first[n]["loss"] for n in ROWS), rel=1e-12, abs=1e-12
    )
    for number, name in enumerate(ROWS, 1):
        own = WEIGHTS[name] * first[name]["loss"]
        assert rows[0][f"source_{number}/loss"] == pytest.approx(own, rel=1e-12)
    at = {name: weights(script, "checkpoints/step-1") for name, script in alone.items()}
    before = {name: start_of(script) for name, script in alone.items()}["pairs"]
    moved = weights(whole, "checkpoints/step-1")
    assert rows[1]["loss"] < rows[0]["loss"]
    for key, value in moved.items():
        wanted = sum(WEIGHTS[name] * (at[name][key] - before[key]) for name in ROWS)
        torch.testing.assert_close(value - before[key], wanted, rtol=1e-5, atol=1e-8)  # logits are float32


def start_of(script: Path) -> dict[str, torch.Tensor]:
    """The weights before the first step."""
    from alignc.runtime.models.load import initial_model

    job = read_job(script.with_name("job.json"))
    model = initial_model(job, load_tokenizer(job.spec.model, None))
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def test_every_split_gives_the_same(forks: Forks, tmp_path: Path):
    each = {"each": {"eval": {"fraction": 0.3}}}
    found = []
    for batch, accumulation in ((8, 1), (2, 4)):
        train = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
        train |= {"per_device_eval_batch_size": batch}
        script = mix(tmp_path / f"{batch}", {"pairs": 27, "marks": 21, "shown": 17}, train, **each)
        found.append((run(forks, script), weights(script)))
    (first, one), (other, two) = found
    assert len(first) == math.ceil(read_rows(tmp_path / "8" / "run") / 8)
    parts = [first[-1][f"eval_source_{i}/loss"] for i in (1, 2, 3)]
    assert first[-1]["eval_loss"] == pytest.approx(sum(parts), rel=1e-12)
    for wanted, row in zip(first, other, strict=True):
        assert row == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=0, atol=1e-11)


def read_rows(output: Path) -> int:
    """Count the training rows of the longest source."""
    parts = parts_of(output)
    return max(len(part.rows) for part in parts)


def parts_of(output: Path) -> list[Any]:
    job = read_job(output / "job" / "job.json")
    tokenizer = load_tokenizer(job.spec.model, None)
    run = Run(job, output / "job", Options(), Pulse(output, 0))
    with generated(output / "job") as loss:
        return load_sources(run, World(0, 1, torch.device("cpu")), tokenizer, loss)


def test_orders_are_independent_and_short_sources_begin_anew(tmp_path: Path):
    mix(tmp_path, {"pairs": 19, "marks": 6, "shown": 19}, {"per_device_train_batch_size": 4})
    long, short, other = parts_of(tmp_path / "run")
    assert isinstance(long.rows, Dataset)
    assert isinstance(long.order, RowOrder)
    assert long.order.total_steps == short.order.total_steps == 5
    assert [row for step in range(1, 6) for row in long.order.batch(step)] != [
        row for step in range(1, 6) for row in other.order.batch(step)
    ]
    taken = [short.order.batch(step) for step in range(1, 5)]
    assert [len(rows) for rows in taken] == [4, 2, 4, 2]
    assert sorted(taken[0] + taken[1]) == sorted(taken[2] + taken[3]) == list(range(6))
    assert taken[:2] != taken[2:]


def test_killed_runs_end_in_the_same_bits(forks: Forks, tmp_path: Path):
    """With a running mean and a learned value beside a loss that has neither."""
    TERMS_HERE = [
        {"preset": "bco", "beta": 0.5, "data": "marks"},
        {"preset": "dro", "tau": 0.1, "data": "more"},
        {"preset": "dpo", "data": "pairs"},
    ]
    model = {
        "dtype": "float32",
        "policy": {"init": "gpt2", "tokenizer": "bytes", "n_embd": 16, "n_layer": 1, "n_head": 2},
    }
    train = PLAIN | {"dropout": True, "eval_steps": 2, "per_device_train_batch_size": 2}
    scripts = []
    for name in ("whole", "broken"):
        given = sources(tmp_path / name, {"pairs": 9, "marks": 7}, eval={"fraction": 0.3})
        given["more"] = given["marks"]
        script = script_of(tmp_path / name, {"terms": TERMS_HERE}, {"sources": given}, train, model=model)
        scripts.append(script)
    whole, broken = scripts
    operations = forks.run(whole)["operations"]
    killed = [
        forks.run(broken, "--resume", operation=operations * part // 10, when="before")["status"]
        for part in (3, 5)
    ]
    assert killed == [-9, -9]
    run(forks, broken, "--resume")
    for file in ("metrics.jsonl", "model/model.safetensors"):
        assert (broken.parents[1] / file).read_bytes() == (whole.parents[1] / file).read_bytes()
    last = int(metrics(whole)[-1]["step"])
    assert state(broken, last) == state(whole, last)
    assert list(state(whole, last)["seen"]) == ["2/s1"]


@pytest.mark.engines
@pytest.mark.parametrize("engine", [{}, {"engine": "deepspeed", "zero_stage": 2}], ids=["ddp", "zero2"])
def test_two_ranks(forks: Forks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: dict[str, Any]):
    """Micro-batches of one row, so that short batches leave a rank without rows; a learned value in one source."""
    monkeypatch.setenv("ALIGNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setitem(TERMS, "marks", {"preset": "dro", "tau": 0.5})
    wide = {"dtype": "float32"} if engine else {}
    one = mix(tmp_path / "one", ROWS, {"per_device_train_batch_size": 8}, model=wide)
    split = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}
    two = mix(tmp_path / "two", ROWS, split, launch={"num_processes": 2} | engine, model=wide)
    watched = two.read_text().replace("    engine.close()", CLOSED)
    two.write_text(watched)
    outcome = start(two)
    assert outcome.exit_code == 0, outcome
    exact = {"rel": 1e-4, "abs": 1e-4} if engine else {"rel": 1e-9, "abs": 1e-12}
    for wanted, row in zip(run(forks, one), metrics(two), strict=True):
        free = (
            {"rewards/accuracies"} if row["step"] == 1 else set()
        )  # a margin of 0 is rounded to either side
        assert {k: v for k, v in row.items() if k not in free} == pytest.approx(
            {k: v for k, v in wanted.items() if k not in free}, **exact
        )

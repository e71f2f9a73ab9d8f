"""Terms of several kinds beside a sampled source: the weighted sum, a running mean and a KL that follows its target."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from .compiled import metrics, start, state, write_rows
from .forks import Forks
from .online_jobs import FOLLOWING, REWARD, read_rows, write_prompts
from .test_mixing import KINDS, PLAIN, run, script_of, start_of, weights

SAMPLED = {"max_new_tokens": 4, "completions_per_prompt": 2, "reward": REWARD}
TERMS: dict[str, dict[str, Any]] = {
    "asked": {"preset": "ppo"},
    "shown": {"preset": "sft"},
    "pairs": {"preset": "dpo", "beta": 0.5},
    "marks": {"preset": "bco", "beta": 0.5},
}
WEIGHTS = {"asked": 1.0, "shown": 0.2, "pairs": 0.5, "marks": 0.5}
ROWS = {"asked": 12, "shown": 7, "pairs": 9, "marks": 10}


def source(folder: Path, name: str, **changes: Any) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.jsonl"
    if name == "asked":
        return {"kind": "prompts", "source": str(write_prompts(file, ROWS[name]))} | SAMPLED | changes
    return {"kind": KINDS[name], "source": str(write_rows(file, KINDS[name], ROWS[name]))} | changes


def mixed(folder: Path, names: list[str], train: dict[str, Any], each: Any = None, **sections: Any) -> Path:
    terms = [{**TERMS[name], "weight": WEIGHTS[name], "data": name} for name in names]
    rows = {name: source(folder, name, **(each or {})) for name in names}
    return script_of(folder, {"terms": terms}, {"sources": rows}, PLAIN | train, **sections)


def single(folder: Path, name: str, train: dict[str, Any]) -> Path:
    return script_of(folder, TERMS[name], source(folder, name), PLAIN | train)


@pytest.mark.parametrize("sampled", ["ppo", "grpo", "online_dpo"])
def test_loss_and_gradient_are_the_weighted_sum(
    forks: Forks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sampled: str
):
    """All rows are one batch, so that plain descent moves every weight by the rate times its gradient."""
    monkeypatch.setitem(TERMS, "asked", {"preset": sampled})
    names = ["asked", "shown", "pairs"]
    train = {"per_device_train_batch_size": 20, "max_steps": 2}
    whole = mixed(tmp_path / "mix", names, train)
    alone = {
        name: single(tmp_path / name, name, train | ({"rollout_epochs": 1} if name == "asked" else {}))
        for name in names
    }
    rows = run(forks, whole)
    first = {name: run(forks, script)[0] for name, script in alone.items()}
    wanted = sum(WEIGHTS[name] * first[name]["loss"] for name in names)
    assert rows[0]["loss"] == pytest.approx(wanted, rel=1e-12, abs=1e-12)
    for number, name in enumerate(names, 1):
        own = WEIGHTS[name] * first[name]["loss"]
        assert rows[0][f"source_{number}/loss"] == pytest.approx(own, rel=1e-12, abs=1e-12)
    assert rows[0]["objective/scores"] == first["asked"]["objective/scores"]
    at = {name: weights(script, "checkpoints/step-1") for name, script in alone.items()}
    before, moved = start_of(alone["pairs"]), weights(whole, "checkpoints/step-1")
    for key, value in moved.items():
        step = sum(WEIGHTS[name] * (at[name][key] - before[key]) for name in names)
        torch.testing.assert_close(value - before[key], step, rtol=1e-5, atol=1e-8)  # logits are float32
    heads = [
        script.parents[1] / "checkpoints/step-1/value_head.safetensors" for script in (whole, alone["asked"])
    ]
    assert [head.exists() for head in heads] == [sampled == "ppo"] * 2
    if sampled == "ppo":
        one, two = (load_file(head) for head in heads)
        assert all(torch.equal(value, two[key]) for key, value in one.items())


def test_killed_runs_end_in_the_same_bits(forks: Forks, tmp_path: Path):
    """With a running mean, a KL that follows its target, dropout, and held-out rows of every source."""
    model = {
        "dtype": "float32",
        "policy": {"init": "gpt2", "tokenizer": "bytes", "n_embd": 16, "n_layer": 1, "n_head": 2},
    }
    terms = [
        {"preset": "bco", "beta": 0.5, "data": "marks"},
        {"preset": "ppo", "kl": FOLLOWING, "data": "asked"},
        {"preset": "sft", "weight": 0.2, "data": "shown"},
    ]
    train = PLAIN | {"dropout": True, "eval_steps": 2, "per_device_train_batch_size": 2, "rollout_epochs": 2}
    scripts = []
    for name in ("whole", "broken"):
        rows = {n: source(tmp_path / name, n, eval={"fraction": 0.3}) for n in ("marks", "asked", "shown")}
        scripts.append(script_of(tmp_path / name, {"terms": terms}, {"sources": rows}, train, model=model))
    whole, broken = scripts
    operations = forks.run(whole)["operations"]
    killed = [
        forks.run(broken, "--resume", operation=operations * part // 10, when="before")["status"]
        for part in (3, 5)
    ]
    assert killed == [-9, -9]
    run(forks, broken, "--resume")
    for file in ("metrics.jsonl", "rollouts.jsonl", "model/model.safetensors"):
        assert (broken.parents[1] / file).read_bytes() == (whole.parents[1] / file).read_bytes()
    last = int(metrics(whole)[-1]["step"])
    assert state(broken, last) == state(whole, last)
    assert list(state(whole, last)["seen"]) == ["1/s1"]
    assert state(whole, last)["strength"] != 1.0
    assert {"eval_source_1/loss", "eval_source_3/loss", "eval_objective/scores"} < set(metrics(whole)[-1])


@pytest.mark.engines
@pytest.mark.parametrize(
    "engine",
    [{}, pytest.param({"engine": "deepspeed", "zero_stage": 2}, marks=pytest.mark.long)],
    ids=["ddp", "zero2"],
)
def test_two_ranks(forks: Forks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: dict[str, Any]):
    """Micro-batches of one row, so that short batches leave a rank without rows; a learned value in one source."""
    monkeypatch.setenv("ALIGNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    wide = {"dtype": "float32"} if engine else {}
    names = ["asked", "shown", "marks"]
    one = mixed(tmp_path / "one", names, {"per_device_train_batch_size": 8}, model=wide)
    split = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4}
    two = mixed(tmp_path / "two", names, split, launch={"num_processes": 2} | engine, model=wide)
    outcome = start(two)
    assert outcome.exit_code == 0, outcome
    exact = {"rel": 1e-4, "abs": 1e-4} if engine else {"rel": 1e-9, "abs": 1e-12}
    for wanted, row in zip(run(forks, one), metrics(two), strict=True):
        assert row == pytest.approx(wanted, **exact)
    for record, other in zip(read_rows(one, "rollouts.jsonl"), read_rows(two, "rollouts.jsonl"), strict=True):
        assert record["completion"] == other["completion"]


def test_refused_rows_of_each_source_have_a_file_of_their_own(forks: Forks, tmp_path: Path):
    each = {"on_bad_row": "quarantine"}
    script = mixed(tmp_path, ["shown", "asked"], {"per_device_train_batch_size": 20, "max_steps": 1}, each)
    for name in ("shown", "asked"):
        with (tmp_path / f"{name}.jsonl").open("a") as file:
            file.write(json.dumps({"origin": name}) + "\n")
    run(forks, script)
    for name, file in (("shown", "quarantine.jsonl"), ("asked", "quarantine_2.jsonl")):
        assert f"{name}.jsonl" in (tmp_path / "run" / file).read_text()


def test_a_job_samples_the_rows_of_one_source(forks: Forks, tmp_path: Path):
    """The compiler refuses two sampled sources; a job that was changed by hand is refused as well."""
    script = mixed(tmp_path, ["asked", "shown"], {"per_device_train_batch_size": 20, "max_steps": 1})
    file = script.with_name("job.json")
    job = json.loads(file.read_text())
    sources, parts = job["spec"]["data"]["sources"], job["plan"]["parts"]
    sources["shown"], parts[1] = sources["asked"], parts[0]
    script.with_name("loss_2.py").write_text(script.with_name("loss_1.py").read_text())
    file.write_text(json.dumps(job))
    assert forks.run(script)["status"] == 4
    (problem,) = json.loads((tmp_path / "run" / "status.json").read_text())["diagnostics"]
    assert problem["code"] == "E806"
    assert "one source at most" in problem["message"]


def test_one_source_among_sources_has_the_loss_of_the_sum(forks: Forks, tmp_path: Path):
    each = {"eval": {"fraction": 0.3}}
    (row,) = run(forks, mixed(tmp_path, ["shown"], {"per_device_train_batch_size": 20, "max_steps": 1}, each))
    assert row["loss"] == row["source_1/loss"]
    assert row["eval_loss"] == row["eval_source_1/loss"]

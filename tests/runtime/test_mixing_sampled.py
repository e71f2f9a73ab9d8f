"""Sampled rows beside given ones: the sum of their losses, one value for every split, resumed to the bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from alignc.api import compile as compiled
from alignc.runtime.after.held_out import held_out_metrics

from .compiled import TINY, metrics, start, write_rows
from .forks import Forks
from .online_jobs import ORACLE, REWARD, write_prompts

KILLED = -9
ASKED = {"kind": "prompts", "max_new_tokens": 4, "completions_per_prompt": 2, "reward": REWARD}
PLAIN = {"learning_rate": 0.3, "optim": "sgd", "max_length": 48, "report_to": [], "max_grad_norm": 0}
PLAIN |= {"save_steps": 1, "save_total_limit": 9, "per_device_train_batch_size": 4, "num_train_epochs": 1}
GRPO = {"preset": "grpo", "kl": {"estimator": "k2", "placement": "loss", "beta": 0.1, "granularity": "token"}}
TERMS = {"asked": GRPO, "shown": {"preset": "sft"}, "pairs": {"preset": "dpo", "beta": 0.5}}
WEIGHTS = {"asked": 1.0, "shown": 0.25, "pairs": 0.5}
KINDS = {"shown": "demonstrations", "pairs": "pairwise"}
ROWS = {"asked": 12, "shown": 7, "pairs": 5}


def rows_of(folder: Path, name: str, **more: Any) -> dict[str, Any]:
    """Write the rows of a source, and give its section."""
    path = folder / f"{name}.jsonl"
    if name == "asked":
        return {**ASKED, "source": str(write_prompts(path, ROWS[name])), **more}
    return {"kind": KINDS[name], "source": str(write_rows(path, KINDS[name], ROWS[name])), **more}


def script_of(folder: Path, objective: Any, data: Any, train: Any, **sections: Any) -> Path:
    """Compile a job, and give its `train.py`."""
    spec = {
        "objective": objective,
        "model": {"policy": TINY, "dtype": "float64"} | sections.get("model", {}),
        "data": data,
        "train": PLAIN | train,
        "launch": {"timeout": 300} | sections.get("launch", {}),
        "output_dir": str(folder / "run"),
    }
    (folder / "spec.yaml").write_text(json.dumps(spec))
    compiled(folder / "spec.yaml", folder / "run" / "job")
    return folder / "run" / "job" / "train.py"


def mix(folder: Path, names: tuple[str, ...], train: dict[str, Any], **sections: Any) -> Path:
    """Compile a job of several sources; `terms` and `rows` are laid over what they have here."""
    folder.mkdir(parents=True, exist_ok=True)
    terms, more = TERMS | sections.pop("terms", {}), sections.pop("rows", {})
    listed = [{**terms[name], "weight": WEIGHTS[name], "data": name} for name in names]
    sources = {name: rows_of(folder, name, **more.get(name, {})) for name in names}
    return script_of(folder, {"terms": listed}, {"sources": sources}, train, **sections)


def single(folder: Path, name: str, train: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return script_of(folder, TERMS[name], rows_of(folder, name), train)


def run(forks: Forks, script: Path, *arguments: str) -> list[dict[str, float]]:
    answer = forks.run(script, *arguments)
    log = script.parents[1] / "crash.log"
    assert answer["status"] == 0, log.read_text() if log.exists() else ""
    return metrics(script)


def weights(script: Path, folder: str = "model") -> dict[str, torch.Tensor]:
    return load_file(script.parents[1] / folder / "model.safetensors")


def results(script: Path) -> dict[str, bytes]:
    """Read what a run must leave alike: metrics, answers, the model."""
    output = script.parents[1]
    files = [output / "metrics.jsonl", output / "rollouts.jsonl", *(output / "model").glob("*.safetensors")]
    assert len(files) > 2
    return {path.name: path.read_bytes() for path in files}


def test_loss_and_gradient_are_the_weighted_sum(forks: Forks, tmp_path: Path):
    """A step takes all rows, so that plain descent moves each weight by the rate times its gradient.

    The first rollout is that of the single job: the same prompts in the same order, under the same seeds.
    """
    train = {"per_device_train_batch_size": 12, "max_steps": 1}
    whole = mix(tmp_path / "mix", tuple(ROWS), train)
    alone = {name: single(tmp_path / name, name, train) for name in ROWS}
    [row] = run(forks, whole)
    first = {name: run(forks, script)[0] for name, script in alone.items()}
    parts = {name: WEIGHTS[name] * first[name]["loss"] for name in ROWS}
    assert row["loss"] == pytest.approx(sum(parts.values()), abs=1e-12)
    assert [row[f"source_{i}/loss"] for i in (1, 2, 3)] == pytest.approx(list(parts.values()), abs=1e-12)
    for name in ("objective/scores", "completions/mean_length", "kl"):
        assert row[name] == first["asked"][name]
    before = start_of(whole)
    at = {name: weights(script) for name, script in alone.items()}
    for key, value in weights(whole).items():
        wanted = sum(WEIGHTS[name] * (at[name][key] - before[key]) for name in ROWS)
        torch.testing.assert_close(value - before[key], wanted, rtol=1e-5, atol=1e-8)  # logits are float32


def start_of(script: Path) -> dict[str, torch.Tensor]:
    """Make the weights before the first step."""
    from alignc.contract.job import read_job
    from alignc.runtime.data.tokenizer import load_tokenizer
    from alignc.runtime.models.load import initial_model

    job = read_job(script.with_name("job.json"))
    model = initial_model(job, load_tokenizer(job.spec.model, None))
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def test_rollouts_count_the_steps_and_given_rows_begin_anew(forks: Forks, tmp_path: Path):
    """Twelve prompts in rollouts of eight and four, each trained on twice: six steps; seven rows last two of them."""
    train = {"rollout_epochs": 2, "rollout_minibatches": 2}
    rows = run(forks, mix(tmp_path, ("asked", "shown"), train))
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert [row["rollout"] for row in rows] == [1, 1, 1, 1, 2, 2]
    assert [row["epoch"] for row in rows] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1])
    nll = [row["nll_loss"] for row in rows]
    assert len(set(nll)) == 6
    assert rows[0]["val/ratio"] == rows[4]["val/ratio"] == 1.0
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").glob("step-*"))
    assert kept == ["step-4", "step-6"]  # where rollouts end


def test_every_split_gives_the_same(forks: Forks, tmp_path: Path):
    found = []
    held_out = {"asked": {"eval": {"fraction": 0.3}}, "shown": {"eval": {"fraction": 0.3}}}
    for batch, accumulation in ((4, 1), (1, 4)):
        train = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
        script = mix(tmp_path / str(batch), ("shown", "asked"), train, rows=held_out)
        found.append((run(forks, script), weights(script)))
    (first, one), (other, two) = found
    for wanted, row in zip(first, other, strict=True):
        assert row == pytest.approx(wanted, rel=1e-8, abs=1e-10)
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, rtol=0, atol=1e-9)
    assert {"eval_source_1/loss", "eval_objective/scores", "eval_objective/kl"} <= first[-1].keys()
    assert "eval_loss" not in first[-1]  # answers have no loss


def test_a_finished_run_is_evaluated_again_as_it_was(forks: Forks, tmp_path: Path):
    held_out = {name: {"eval": {"fraction": 0.3}} for name in ("asked", "pairs")}
    last = run(forks, mix(tmp_path, ("pairs", "asked"), {"max_steps": 2}, rows=held_out))[-1]
    again = held_out_metrics(tmp_path / "run")
    wanted = {name: value for name, value in last.items() if name.startswith("eval_")}
    assert again == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    assert {"eval_source_1/loss", "eval_objective/scores"} <= again.keys()


PPO = {
    "preset": "ppo",
    "kl": {"estimator": "k1", "placement": "reward", "beta": 0.05, "granularity": "token"},
}
ONLINE_DPO = {"preset": "online_dpo", "beta": 0.5}
MIXES: dict[str, dict[str, Any]] = {
    "ppo_dpo": {"terms": {"asked": PPO}, "names": ("asked", "pairs"), "model": {"critic": {"kind": "model"}}},
    "ppo_head": {"terms": {"asked": PPO}, "names": ("shown", "asked", "pairs"), "model": {}},
    "online_dpo": {"terms": {"asked": ONLINE_DPO}, "names": ("asked", "shown"), "model": {}},
    "ema": {"terms": {}, "names": ("asked", "shown"), "model": {"reference": {"kind": "ema", "decay": 0.5}}},
    "lora": {"terms": {}, "names": ("pairs", "asked"), "model": {"adapter": {"kind": "lora", "r": 2}}},
    "self_play": {"terms": {"asked": {"preset": "sppo", "eta": 5}}, "names": ("asked", "shown"), "model": {}},
}
GAMES = {"kind": "self_play", "iterations": 2, "reward": None, "oracle": ORACLE, "completions_per_prompt": 3}


def script_named(folder: Path, name: str, **sections: Any) -> Path:
    chosen = MIXES[name]
    rows = {source: {"eval": {"fraction": 0.3}} for source in chosen["names"]}
    if name == "self_play":
        rows["asked"] |= GAMES
    train = {"optim": "adamw_torch", "learning_rate": 1e-2, "eval_steps": 2, "rollout_epochs": 2}
    model = {"dtype": "float32"} | chosen["model"]
    laid = {"terms": chosen["terms"], "rows": rows, "model": model} | sections
    return mix(folder, chosen["names"], train | laid.pop("train", {}), **laid)


@pytest.mark.parametrize("name", list(MIXES))
def test_killed_runs_end_in_the_same_bits(forks: Forks, tmp_path: Path, name: str):
    whole, broken = (script_named(tmp_path / each, name) for each in ("whole", "broken"))
    answer = forks.run(whole)
    assert answer["status"] == 0, (tmp_path / "whole" / "run" / "crash.log").read_text()
    operations = answer["operations"]
    killed = [
        forks.run(broken, "--resume", operation=operations * part // 10, when="before")["status"]
        for part in (3, 4)
    ]
    assert killed == [KILLED, KILLED]
    run(forks, broken, "--resume")
    assert results(broken) == results(whole)


ZERO2 = {"engine": "deepspeed", "zero_stage": 2}


@pytest.mark.engines
@pytest.mark.parametrize(
    ("name", "engine"),
    [
        pytest.param("ppo_dpo", {}, marks=pytest.mark.long),
        pytest.param("online_dpo", {}, marks=pytest.mark.long),
        ("online_dpo", ZERO2),
    ],
)
def test_two_ranks(
    forks: Forks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, engine: dict[str, Any]
):
    """Micro-batches of one row, so that the last batch of a pass leaves a rank without rows."""
    monkeypatch.setenv("ALIGNC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    wide = {"model": {"dtype": "float32" if engine else "float64"} | MIXES[name]["model"]}
    one = script_named(tmp_path / "one", name, **wide)
    split = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2}
    two = script_named(tmp_path / "two", name, train=split, launch={"num_processes": 2} | engine, **wide)
    outcome = start(two)
    assert outcome.exit_code == 0, outcome
    exact = {"rel": 1e-3, "abs": 1e-4} if engine else {"rel": 1e-6, "abs": 1e-9}
    for wanted, row in zip(run(forks, one), metrics(two), strict=True):
        free = {"rewards/accuracies", "rewards/accuracies_2"} if row["step"] == 1 else set()
        assert {k: v for k, v in row.items() if k not in free} == pytest.approx(
            {k: v for k, v in wanted.items() if k not in free}, **exact
        )

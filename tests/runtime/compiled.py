"""Jobs as `alignc compile` emits them, on a tiny model and a few rows of sums."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, ByT5Tokenizer

import alignc.api
from alignc.contract.job import read_job
from alignc.launch import Outcome, launch
from alignc.runtime.data import load_examples, settings_from_job
from alignc.runtime.data.example import Example
from alignc.runtime.models.load import initial_model

__all__ = [
    "TINY",
    "log_probabilities",
    "metrics",
    "spec_file",
    "start",
    "state",
    "train_script",
    "write_rows",
]

TINY = {
    "init": "llama",
    "tokenizer": "bytes",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


def row(kind: str, draw: random.Random) -> dict[str, Any]:
    """Make a row of sums of a kind of data."""
    a, b = draw.randrange(100), draw.randrange(100)
    prompt, answers = f"{a}+{b}=", [str(a + b), str(a + b + draw.choice((1, 10, 1000)))]
    if kind == "pairwise":
        return {"prompt": prompt, "chosen": answers[0], "rejected": answers[1]}
    if kind == "demonstrations":
        return {"prompt": prompt, "completion": answers[0]}
    if kind == "scored":
        answers += [str(draw.randrange(200)) for _ in range(draw.randrange(3))]
        return {"prompt": prompt, "completions": answers, "rewards": [draw.gauss(0, 1) for _ in answers]}
    right = draw.random() < 0.5
    return {"prompt": prompt, "completion": answers[not right], "label": right, "reward": draw.gauss(0, 1)}


def write_rows(path: Path, kind: str, count: int, **fixed: Any) -> Path:
    """Write rows of sums; ``fixed`` values go into each."""
    draw = random.Random(7)
    path.write_text("".join(json.dumps(row(kind, draw) | fixed) + "\n" for _ in range(count)))
    return path


def spec_file(
    folder: Path, objective: dict[str, Any], kind: str, source: Path, **sections: dict[str, Any]
) -> Path:
    """Write a spec (JSON is YAML); sections are laid over those of a small deterministic job."""
    folder.mkdir(parents=True, exist_ok=True)
    spec: dict[str, Any] = {
        "objective": objective,
        "model": {"policy": TINY} | sections.get("model", {}),
        "data": {"kind": kind, "source": str(source)} | sections.get("data", {}),
        "train": {
            "learning_rate": 0.3,
            "optim": "sgd",
            "max_length": 48,
            "report_to": [],
            "num_train_epochs": 1,
        }
        | sections.get("train", {}),
        "launch": {"timeout": 300} | sections.get("launch", {}),
        "output_dir": str(folder / "run"),
    }
    path = folder / "spec.yaml"
    path.write_text(json.dumps(spec))
    return path


def train_script(folder: Path, objective: dict[str, Any], kind: str, source: Path, **sections: Any) -> Path:
    """Compile a spec into a job folder; return its `train.py`."""
    job = folder / "run" / "job"
    alignc.api.compile(spec_file(folder, objective, kind, source, **sections), job)
    return job / "train.py"


def start(script: Path) -> Outcome:
    """Launch a job with its own launcher."""
    return launch(script.parent, fingerprint="", show=lambda line: None)


def metrics(script: Path) -> list[dict[str, float]]:
    """Read what a job logged."""
    lines = (script.parents[1] / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def state(script: Path, step: int) -> dict[str, Any]:
    """Read the state of a job's checkpoint."""
    folder = script.parents[1] / "checkpoints" / f"step-{step}"
    found: dict[str, Any] = json.loads((folder / "trainer_state.json").read_text())
    return found


Sums = list[list[float]]


def sums(model: Any, example: Example) -> list[float]:
    """The log-probability of each response of a row, each in a forward of its own."""
    found = []
    for response in example.responses:
        ids = torch.from_numpy(np.concatenate([example.prompt, response]).astype(np.int64))[None]
        logps = model(ids).logits[0, :-1].log_softmax(-1)
        of = logps.gather(-1, ids[0, 1:, None]).squeeze(-1)
        found.append(float(of[len(example.prompt) - 1 :].sum()))
    return found


def log_probabilities(script: Path, step: int) -> tuple[list[Example], Sums, Sums]:
    """The rows, and the log-probabilities of their responses under the policy after a step and at the start."""
    read = read_job(script.with_name("job.json"))
    tokenizer = ByT5Tokenizer()
    rows = list(load_examples(settings_from_job(read), tokenizer).examples)
    folder = script.parents[1] / "checkpoints" / f"step-{step}"
    policy = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    initial = initial_model(read, tokenizer).eval()
    with torch.no_grad():
        now, then = ([sums(model, row) for row in rows] for model in (policy, initial))
    return rows, now, then

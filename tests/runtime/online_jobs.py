"""Small online jobs as `alignc compile` emits them: a tiny model answers sums, verifiers judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .compiled import train_script

__all__ = ["OBJECTIVES", "REWARD", "online_script", "read_rows", "write_prompts"]

# Untrained models write noise, of which these tell one answer from another.
REWARD: list[dict[str, Any]] = [
    {"kind": "verifier", "name": "length", "limit": 3},
    {"kind": "verifier", "name": "regex", "pattern": "[0-9A-Z]", "weight": 0.5},
    {"kind": "verifier", "name": "regex", "pattern": "[a-z ]", "weight": 0.25},
]
ORACLE: dict[str, Any] = {"kind": "bradley_terry", "reward": REWARD}
SELF_PLAY = {"kind": "self_play", "iterations": 3, "reward": None, "oracle": ORACLE, "max_rows": 8}
SELF_PLAY |= {"completions_per_prompt": 3}
FOLLOWING = {"estimator": "k1", "placement": "reward", "beta": 0.05, "granularity": "token"}
FOLLOWING |= {"adaptive": {"target": 1.0, "horizon": 50}}

FULL = {"estimator": "full", "placement": "reward", "beta": 0.2}

OBJECTIVES: dict[str, dict[str, Any]] = {
    "ppo": {"objective": {"preset": "ppo", "epochs": 2}},
    "ppo_critic": {
        "objective": {"preset": "ppo", "epochs": 2, "kl": FOLLOWING},
        "model": {"critic": {"kind": "model"}},
    },
    "grpo": {"objective": {"preset": "grpo", "epochs": 2}},
    "grpo_ema": {
        "objective": {
            "preset": "grpo",
            "kl": {
                "estimator": "k3",
                "placement": "loss",
                "beta": 0.04,
                "granularity": "token",
                "anchor": "ema",
            },
        },
        "model": {"reference": {"kind": "ema", "decay": 0.5}},
    },
    "full": {
        "objective": {
            "terms": [
                {
                    "name": "policy",
                    "kind": "policy_gradient",
                    "baseline": {"kind": "leave_one_out"},
                    "kl": FULL,
                },
                {"name": "held", "kind": "kl", "estimator": "full", "weight": 0.2},
            ]
        },
        "train": {"rollout_epochs": 2},
    },
    "sppo": {"objective": {"preset": "sppo", "eta": 5}, "data": SELF_PLAY},
}


def write_prompts(path: Path, count: int = 16) -> Path:
    """Write prompts of sums, of different lengths."""
    rows = [{"prompt": f"{7 * n % 23}+{n * n}=", "answer": str(7 * n % 23 + n * n)} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def online_script(folder: Path, name: str, **sections: dict[str, Any]) -> Path:
    """Compile one of the objectives into a job; return its `train.py`. Sections are laid over a small job's."""
    chosen = OBJECTIVES[name]
    folder.mkdir(parents=True, exist_ok=True)
    data = {"max_new_tokens": 4, "completions_per_prompt": 2, "reward": REWARD, "eval": {"fraction": 0.25}}
    train = {"learning_rate": 1e-2, "optim": "adamw_torch", "per_device_train_batch_size": 2, "save_steps": 2}
    train |= {"eval_steps": 4, "num_train_epochs": 1, "gradient_accumulation_steps": 2}
    laid: dict[str, Any] = {
        "data": data | chosen.get("data", {}) | sections.get("data", {}),
        "train": train | chosen.get("train", {}) | sections.get("train", {}),
        "model": chosen.get("model", {}) | sections.get("model", {}),
        "launch": sections.get("launch", {}),
    }
    kind = laid["data"].get("kind", "prompts")
    source = write_prompts(folder / "prompts.jsonl")
    return train_script(folder, chosen["objective"], kind, source, **laid)


def read_rows(script: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """Read what a job logged, or the answers it wrote down."""
    return [json.loads(line) for line in (script.parents[1] / name).read_text().splitlines()]

"""Hand-written jobs for the runtime's tests: a tiny model, a few rows, the losses written out."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

from alignc.emit.render import rendered

__all__ = ["job_data", "train_section", "write_job", "write_pairs"]

ROOT = Path(__file__).parents[2]

DPO = '''
import torch

BETA = 0.1


def loss(batch, totals):
    """-log sigmoid(beta * ((policy - initial)(chosen) - (policy - initial)(rejected))), mean over rows."""
    reward = {}
    for name in ("chosen", "rejected"):
        difference = (batch[f"policy/{name}"] - batch[f"initial/{name}"]) * batch[f"mask/{name}"]
        reward[name] = BETA * difference.double().sum(dim=1)
    margin = reward["chosen"] - reward["rejected"]
    rows = totals["rows"]
    share = -torch.nn.functional.logsigmoid(margin).sum() / rows
    metrics = {
        "rewards/chosen": reward["chosen"].detach().sum() / rows,
        "rewards/rejected": reward["rejected"].detach().sum() / rows,
        "rewards/margins": margin.detach().sum() / rows,
        "rewards/accuracies": (margin.detach() > 0).double().sum() / rows,
    }
    return share, metrics
'''

SFT = '''
def loss(batch, totals):
    """The mean over all completion tokens of -log p."""
    logps = (batch["policy/completion"] * batch["mask/completion"]).double()
    return -logps.sum() / totals["tokens/completion"], {}
'''

VALUES = {
    "runtime": "alignc.runtime",
    "formula": "a test",
}

PLANS: dict[str, dict[str, Any]] = {
    "dpo": {
        "responses": ["chosen", "rejected"],
        "anchors": ["initial"],
        "totals": ["rows"],
        "step0": {"loss": math.log(2), "rewards/margins": 0.0},
    },
    "sft": {"responses": ["completion"], "anchors": [], "totals": ["tokens/completion"], "step0": {}},
}

TINY = {
    "init": "llama",
    "tokenizer": "bytes",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


def train_section(**changes: Any) -> dict[str, Any]:
    """A whole `train` section with the spec's defaults and the given changes."""
    section: dict[str, Any] = {
        "learning_rate": 1e-2,
        "lr_scheduler_type": "linear",
        "warmup_steps": 0,
        "per_device_train_batch_size": 2,
        "per_device_eval_batch_size": 2,
        "gradient_accumulation_steps": 1,
        "num_train_epochs": 1.0,
        "max_steps": -1,
        "max_length": 128,
        "max_grad_norm": 1.0,
        "weight_decay": 0.0,
        "optim": "adamw_torch",
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "adam_epsilon": 1e-8,
        "seed": 42,
        "bf16": None,
        "dropout": False,
        "activation_checkpointing": False,
        "layout": "auto",
        "logging_steps": 1,
        "eval_steps": None,
        "eval_on_start": False,
        "save_steps": 500,
        "save_total_limit": 2,
        "report_to": [],
        "metric_for_best_model": None,
        "greater_is_better": None,
        "early_stopping_patience": None,
    }
    assert not set(changes) - set(section)
    return section | changes


def write_pairs(path: Path, count: int, kind: str = "dpo") -> Path:
    """Write rows of sums: the chosen answer is right, the rejected one is off by one."""
    draw = random.Random(7)
    with path.open("w", encoding="utf-8") as file:
        for _ in range(count):
            a, b = draw.randrange(100), draw.randrange(100)
            row = {"prompt": f"{a}+{b}=", "chosen": str(a + b), "rejected": str(a + b + 1)}
            if kind == "sft":
                row = {"prompt": row["prompt"], "completion": row["chosen"]}
            file.write(json.dumps(row) + "\n")
    return path


def job_data(
    kind: str,
    source: Path,
    output_dir: Path,
    *,
    model: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    launch: dict[str, Any] | None = None,
    **train: Any,
) -> dict[str, Any]:
    """Build the contents of a `job.json`."""
    data_kind = "pairwise" if kind == "dpo" else "demonstrations"
    reference = {"kind": "initial" if kind == "dpo" else "none", "path": None}
    columns = {"pairwise": ["prompt", "chosen", "rejected"], "demonstrations": ["prompt", "completion"]}
    plan = {"columns": [], "coupled": False, "metrics": ["loss"], "outputs": [], "statistics": {}} | PLANS[
        kind
    ]
    plan |= {"statistic_responses": [], "loss_responses": plan["responses"], "convert": None}
    return {
        "alignc": "0.1.0",
        "name": f"{kind}-test",
        "spec": {
            "version": 1,
            "name": f"{kind}-test",
            "objective": {"preset": kind},
            "model": {
                "policy": TINY,
                "reference": reference,
                "adapter": None,
                "dtype": None,
                "attn_implementation": None,
                "revision": None,
                "trust_remote_code": False,
            }
            | (model or {}),
            "data": {
                "kind": data_kind,
                "source": str(source),
                "split": "train",
                "columns": {name: name for name in columns[data_kind]},
                "chat_template": None,
                "max_rows": None,
                "eval": None,
                "on_bad_row": "error",
                "max_refused": 0,
                "max_cut": 0.2,
            }
            | (data or {}),
            "train": train_section(**train),
            "launch": {
                "engine": "accelerate",
                "num_processes": 1,
                "num_machines": 1,
                "zero_stage": 2,
                "offload": None,
                "mixed_precision": None,
                "timeout": 300,
            }
            | (launch or {}),
            "output_dir": str(output_dir),
        },
        "origins": {},
        "plan": plan,
        "formula": {"text": f"the {kind} loss", "latex": "L"},
    }


def accelerate_config(launch: dict[str, Any]) -> str:
    """Write what `accelerate launch --config_file` reads (JSON is YAML)."""
    ranks, deepspeed = launch["num_processes"], launch["engine"] == "deepspeed"
    config: dict[str, Any] = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": "DEEPSPEED" if deepspeed else "MULTI_GPU" if ranks > 1 else "NO",
        "mixed_precision": "no",
        "num_machines": 1,
        "num_processes": ranks,
        "machine_rank": 0,
    }
    if deepspeed:
        config["deepspeed_config"] = {"zero_stage": launch["zero_stage"], "zero3_init_flag": False}
    return json.dumps(config)


def write_job(folder: Path, data: dict[str, Any]) -> Path:
    """Write a job folder, as `alignc compile` does."""
    folder.mkdir(parents=True, exist_ok=True)
    kind = data["spec"]["objective"]["preset"]
    script = rendered("train.py.j2", **VALUES)
    (folder / "train.py").write_text(script, encoding="utf-8")
    (folder / "loss.py").write_text(DPO if kind == "dpo" else SFT, encoding="utf-8")
    (folder / "job.json").write_text(json.dumps(data), encoding="utf-8")
    (folder / "accelerate.yaml").write_text(accelerate_config(data["spec"]["launch"]), encoding="utf-8")
    (folder / "deepspeed.json").write_text("{}", encoding="utf-8")
    return folder

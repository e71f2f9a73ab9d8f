"""Hand-written jobs for the runtime's tests: a tiny model, a few rows, the losses written out."""

from __future__ import annotations

from typing import Any

__all__ = ["train_section"]


def train_section(**changes: Any) -> dict[str, Any]:
    """A whole `train` section with the spec's defaults and the given changes."""
    section: dict[str, Any] = {
        "learning_rate": 5e-5,
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

"""The configuration of the launcher and of DeepSpeed; each number comes from the spec."""

from __future__ import annotations

import json
from typing import Any

from alignc.contract.engines import ENGINES
from alignc.spec.job import Job

__all__ = ["accelerate_yaml", "deepspeed_json", "launch_values", "precision"]


def precision(job: Job) -> str:
    """Choose mixed precision from `launch`, else from `train.bf16`; `no` leaves the choice to the hardware."""
    if job.launch.mixed_precision is not None:
        return job.launch.mixed_precision
    return "bf16" if job.train.bf16 else "no"


def launch_values(job: Job) -> dict[str, Any]:
    """Collect what the scripts that start a job print of its launch.

    `alone` says that the job is one process that needs no launcher, `environment` what the launcher's engine needs.
    """
    launch, engine = job.launch, ENGINES[job.launch.engine]
    return {
        "processes": launch.num_processes,
        "machines": launch.num_machines,
        "engine": engine.name,
        "alone": engine.alone and launch.num_processes == launch.num_machines == 1,
        "environment": engine.environment,
    }


def accelerate_yaml(job: Job) -> str:
    """Write the complete configuration of accelerate, so that no user default has an effect."""
    launch = job.launch
    many = launch.num_processes > 1
    lines = {
        "compute_environment": "LOCAL_MACHINE",
        "distributed_type": ENGINES[launch.engine].distributed[many],
        "mixed_precision": f"'{precision(job)}'",
        "num_machines": launch.num_machines,
        "num_processes": launch.num_processes,
        "machine_rank": 0,
        "main_training_function": "main",
        "rdzv_backend": "static",
        "same_network": "true",
        "use_cpu": "false",
        "debug": "false",
    }
    return "".join(f"{key}: {value}\n" for key, value in lines.items())


def deepspeed_json(job: Job) -> str:
    """Write DeepSpeed's configuration."""
    train, launch = job.train, job.launch
    rows = train.per_device_train_batch_size * train.gradient_accumulation_steps * launch.num_processes
    zero: dict[str, Any] = {"stage": launch.zero_stage, "contiguous_gradients": True, "overlap_comm": False}
    if launch.offload:
        zero["offload_optimizer"] = {"device": launch.offload}
    config = {
        "train_batch_size": rows,
        "train_micro_batch_size_per_gpu": train.per_device_train_batch_size,
        "gradient_accumulation_steps": train.gradient_accumulation_steps,
        "gradient_clipping": train.max_grad_norm,
        "zero_optimization": zero,
        "bf16": {"enabled": precision(job) == "bf16"},
        "fp16": {"enabled": False},
    }
    return json.dumps(config, indent=1) + "\n"

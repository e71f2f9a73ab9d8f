"""The folder that a run writes to: the names of its files, which the job writes and the commands read."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = [
    "BASE",
    "CHECKPOINTS",
    "CRASH_LOG",
    "JOB",
    "JOB_FOLDER",
    "METRICS",
    "MODEL",
    "OURS",
    "PROBE",
    "QUANTIZATION",
    "QUARANTINE",
    "RANKS",
    "REPORT",
    "ROLLOUTS",
    "RUN",
    "RUN_LOG",
    "STATUS",
    "TEMPLATE_DATE",
    "TENSORBOARD",
    "TIMING",
    "TRAINER_STATE",
    "checkpoint_name",
    "checkpoint_step",
    "job_file",
]

JOB_FOLDER = "job"
JOB = "job.json"
"""In the job's folder the resolved job; in a checkpoint the identity of the job that made it."""
MODEL = "model"
BASE = "base"
"""The base of an adapter, where no other folder holds it."""
QUANTIZATION = "quantization.json"
"""Beside an adapter: in which bits its base was trained."""
CHECKPOINTS = "checkpoints"
TRAINER_STATE = "trainer_state.json"
"""In a checkpoint: what the loop must know to go on."""
METRICS, TIMING, ROLLOUTS, QUARANTINE = "metrics.jsonl", "timing.jsonl", "rollouts.jsonl", "quarantine.jsonl"
TEMPLATE_DATE = "chat_template_date.txt"
"""The date that the chat template of a run wrote as today's, where it asked for one."""
TENSORBOARD = "tensorboard"
STATUS = "status.json"
"""How the job ended."""
RANKS = ".ranks"
"""The folder with a record of each process."""
RUN = "run.json"
"""What the launcher started: the fingerprint of the job, and its inputs."""
RUN_LOG, CRASH_LOG = "run.log", "crash.log"
PROBE = "probe.json"
"""How the policy is scored, and why."""
REPORT = "report.html"
OURS = (
    RANKS,
    BASE,
    CHECKPOINTS,
    CRASH_LOG,
    METRICS,
    MODEL,
    PROBE,
    QUARANTINE,
    REPORT,
    ROLLOUTS,
    RUN,
    RUN_LOG,
    STATUS,
    TEMPLATE_DATE,
    TENSORBOARD,
    TIMING,
)
"""What a run leaves beside its job; a new start removes it."""

_CHECKPOINT = re.compile(r"step-(\d+)")


def job_file(output_dir: Path) -> Path:
    """Return the place of a run's `job.json`."""
    return output_dir / JOB_FOLDER / JOB


def checkpoint_name(step: int | str) -> str:
    """Name the folder of a checkpoint: `step-40`."""
    return f"step-{step}"


def checkpoint_step(name: str) -> int | None:
    """Read the step from the name of a checkpoint's folder; None for any other name."""
    match = _CHECKPOINT.fullmatch(name)
    return int(match[1]) if match else None

"""The metrics of a run: `metrics.jsonl`, `timing.jsonl`, TensorBoard, wandb and a line on stderr.

`metrics.jsonl` holds one object a logged step, in order, and nothing that two equal runs would differ in. The
first line is `step: 1`; a line's values were taken before that step's update, `eval_*` after it.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...contract.files import METRICS, TENSORBOARD, TIMING
from ...contract.job import Job
from ..base import fsops
from ..base.console import say

__all__ = ["METRICS", "Recorder", "cut_after"]

SECONDS_BETWEEN_LINES = 1.0
TELLING = (
    "loss",
    "eval_loss",
    "rewards/margins",
    "rewards/accuracies",
    "eval_rewards/accuracies",
    "objective/scores",
    "objective/kl",
    "eval_objective/scores",
    "eval_objective/kl",
    "eval_win_rate",
    "grad_norm",
    "learning_rate",
)


def cut_after(path: Path, step: int) -> None:
    """Drop the lines after a step, and a half-written last one: the run goes on from there."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = parsed(line)
        if row is None or row["step"] > step:
            break
        kept.append(line + "\n")
    fsops.replace_text(path, "".join(kept))


def parsed(line: str) -> dict[str, Any] | None:
    """Parse a line, or None where it is not whole."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and "step" in row else None


class Recorder:
    """Writes a run's metrics. Ranks other than 0 have none."""

    def __init__(self, job: Job, total_steps: int, *, after: int) -> None:
        """Open the files of a run that goes on after a step (0: from the start)."""
        folder = job.output_dir
        self.total, self.began, self.shown = total_steps, time.monotonic(), -math.inf
        for name in (METRICS, TIMING):
            cut_after(folder / name, after)
        self.metrics = (folder / METRICS).open("a", encoding="utf-8")
        self.timing = (folder / TIMING).open("a", encoding="utf-8")
        self.board = open_board(job, after) if "tensorboard" in job.spec.train.report_to else None
        self.wandb = open_wandb(job) if "wandb" in job.spec.train.report_to else None

    def write(self, row: Mapping[str, float], seconds: float) -> None:
        """Write a step's metrics everywhere; ``row`` has its ``step``."""
        step = int(row["step"])
        self.metrics.write(json.dumps(row) + "\n")
        self.metrics.flush()
        self.timing.write(json.dumps({"step": step, "seconds": round(seconds, 6)}) + "\n")
        self.timing.flush()
        grouped = {group(name): value for name, value in row.items() if name != "step"}
        if self.board is not None:
            for name, value in grouped.items():
                self.board.add_scalar(name, value, step)
        if self.wandb is not None:
            self.wandb.log(grouped, step=step)
        self.show(row, step)

    def show(self, row: Mapping[str, float], step: int) -> None:
        """Print a line, at most about one a second, but always the first, the last and evaluations."""
        now = time.monotonic()
        ends = step in (1, self.total) or any(name.startswith("eval_") for name in row)
        if ends or now - self.shown >= SECONDS_BETWEEN_LINES:
            self.shown = now
            say(line_of(row, step, self.total))

    def sync(self) -> None:
        """Bring the files to the disk: a checkpoint must not be ahead of them."""
        for file in (self.metrics, self.timing):
            os.fsync(file.fileno())

    def close(self) -> None:
        """Close everything."""
        self.metrics.close()
        self.timing.close()
        if self.board is not None:
            self.board.close()
        if self.wandb is not None:
            self.wandb.finish()


def group(name: str) -> str:
    """Name a metric as transformers' dashboards do: train/loss, eval/loss."""
    return f"eval/{name[5:]}" if name.startswith("eval_") else f"train/{name}"


def line_of(row: Mapping[str, float], step: int, total: int) -> str:
    """Write a step's most telling numbers in one line."""
    shown = [f"{name} {row[name]:.4g}" for name in TELLING if name in row]
    return f"step {step:>{len(str(total))}}/{total}  " + "  ".join(shown)


def open_board(job: Job, after: int) -> Any:
    """Open TensorBoard's writer, later steps of an earlier attempt purged."""
    from torch.utils.tensorboard import SummaryWriter

    folder = os.environ.get("TENSORBOARD_LOGGING_DIR") or str(job.output_dir / TENSORBOARD)
    return SummaryWriter(folder, purge_step=after + 1)


def open_wandb(job: Job) -> Any:
    """Start wandb where it is installed; say so where it is not."""
    try:
        import wandb
    except ImportError:
        say("warning: wandb is not installed; metrics go to metrics.jsonl")
        return None
    project = os.environ.get("WANDB_PROJECT", "huggingface")
    return wandb.init(project=project, name=job.name, dir=str(job.output_dir), resume="allow")

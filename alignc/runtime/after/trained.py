"""A trained model of a run: its final model, or one of its checkpoints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...contract.exits import FINDINGS
from ...contract.failure import Failure
from ...contract.files import (
    CHECKPOINTS,
    JOB_FOLDER,
    METRICS,
    MODEL,
    STATUS,
    TRAINER_STATE,
    checkpoint_name,
    checkpoint_step,
    job_file,
)
from ...contract.job import Job, read_job
from ..train.checkpoint import damage, newest, saved
from ..train.identity import identity_of, require_same
from ..train.metrics import parsed

__all__ = ["Trained", "find"]


@dataclass(frozen=True)
class Trained:
    """A run's folder, its job, the folder that its weights lie in, and the step that they are of."""

    run: Path
    job: Job
    folder: Path
    step: int

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics that were logged at that step; empty where none were."""
        file = self.run / METRICS
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        rows = [row for line in lines if (row := parsed(line)) is not None]
        return next((row for row in reversed(rows) if row.get("step") == self.step), {})


def find(path: Path, wanted: str | None = None) -> Trained:
    """Find a run's weights by its output folder, or by the folder of one of its checkpoints or of its model.

    `wanted` is "best", "last" or a step; without it the final model is taken. Failure E008 where there is no run or
    no such checkpoint, E604 for an unfinished run without `wanted`, E603 and E805 for a checkpoint of another job or
    one that is not whole.
    """
    run, own = placed(path.absolute())
    job = read_job(job_file(run))
    wanted = own if wanted is None else wanted
    if wanted is None:
        return Trained(run, job, *final(run))
    folder = checkpoint(run, wanted)
    require_same(folder, identity_of(run / JOB_FOLDER))
    return Trained(run, job, folder, step_of(folder))


def placed(path: Path) -> tuple[Path, str | None]:
    """Find the run that a folder is or belongs to, and the step where it is a checkpoint."""
    step = checkpoint_step(path.name)
    places: list[tuple[Path, str | None]] = [(path, None)]
    places += [] if step is None else [(path.parent.parent, str(step))]
    places += [(path.parent, None)] if path.name == MODEL else []
    for run, wanted in places:
        if job_file(run).is_file():
            return run, wanted
    why = "the folder of a run holds `job/job.json`; this folder is the `output_dir` of the spec"
    help_ = "name the folder of a run, or its spec"
    raise Failure(
        "E008", f"there is no run in `{path}`", why=why, help=help_, file=str(path), exit_code=FINDINGS
    )


def final(run: Path) -> tuple[Path, int]:
    """Give the model that a run came to and its step: of the best checkpoint where one was chosen."""
    status = read(run / STATUS)
    if status.get("finished") is not True or not (run / MODEL).is_dir():
        raise Failure(
            "E604",
            f"the run in `{run}` has not finished",
            why="a run writes its final model at its end",
            help="continue with `alignc run SPEC --resume`, or choose a checkpoint: `--checkpoint last`",
            file=str(run),
        )
    best = best_step(run)
    return run / MODEL, int(status.get("step", 0)) if best is None else best


def checkpoint(run: Path, wanted: str) -> Path:
    """Find a whole checkpoint by its step, the newest one, or the best one."""
    root = run / CHECKPOINTS
    steps = [step for step, _ in saved(root)]
    asked = best_step(run) if wanted == "best" else steps[0] if wanted == "last" and steps else wanted
    if asked is None:
        why = "evaluations choose the best checkpoint by `train.metric_for_best_model`"
        help_ = "set `train.metric_for_best_model`, or pass `--checkpoint last`"
        raise Failure("E008", "this run has no best checkpoint", why=why, help=help_, exit_code=FINDINGS)
    folder = root / checkpoint_name(asked)
    if not folder.is_dir():
        there = (
            f"the checkpoints are: {', '.join(map(str, sorted(steps)))}"
            if steps
            else "there is no checkpoint"
        )
        missing = "no checkpoint" if asked == "last" else f"no checkpoint of step {asked}"
        help_ = (
            "pass one of these steps, or `last`"
            if steps
            else "`train.save_steps` sets when checkpoints are written"
        )
        raise Failure(
            "E008", f"{missing} in `{run}`", why=there, help=help_, file=str(root), exit_code=FINDINGS
        )
    if problem := damage(folder):
        raise Failure("E805", f"the checkpoint `{folder.name}` is not complete: {problem}", file=str(folder))
    return folder


def best_step(run: Path) -> int | None:
    """Read the step of the best checkpoint from the newest whole one; None where none was chosen."""
    last = newest(run / CHECKPOINTS, lambda problem: None)
    best = read(last / TRAINER_STATE).get("best") if last else None
    return None if best is None else int(best["step"])


def step_of(folder: Path) -> int:
    """Read the step that a checkpoint is of."""
    return int(read(folder / TRAINER_STATE)["step"])


def read(path: Path) -> dict[str, Any]:
    """Read a JSON object; a missing or torn file is empty."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}

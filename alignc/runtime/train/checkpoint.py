"""Checkpoints that are whole or absent: written aside, synced, listed with their hashes, renamed.

``checkpoints/step-N/`` holds the model as ``from_pretrained`` reads it, ``optimizer.safetensors`` (slots by
parameter name), ``trainer_state.json``, ``job.json`` that tells whose it is, and ``manifest.json`` with the sha256 of
every other file. A folder whose files do not match its manifest is passed over; one of another job is refused.
Older checkpoints go only after the new one stands.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ...contract.failure import Failure
from ...contract.files import JOB, TRAINER_STATE, checkpoint_name, checkpoint_step
from ..base import fsops
from ..scoring.micro import tokens_of
from ..scoring.objective import SourceBatch
from ..scoring.statistics import RunningSums
from .identity import require_same, same_job

__all__ = [
    "TrainerState",
    "commit",
    "damage",
    "newest",
    "prune",
    "read_optimizer",
    "read_state",
    "saved",
    "write_optimizer",
]

MANIFEST = "manifest.json"
OPTIMIZER = "optimizer.safetensors"


@dataclass(frozen=True)
class TrainerState:
    """The state that a loop needs to go on: integers, numbers and names."""

    step: int = 0
    num_tokens: int = 0
    reference: str | None = None  # the key of the reference cache
    best: Mapping[str, float] | None = None  # {"step", "value"} of the best evaluation
    stale: int = 0  # evaluations since the best one
    pending: Mapping[str, float] | None = None  # a step's metrics whose evaluation was interrupted
    stopped_early: bool = False
    seen: Mapping[str, list[float]] | None = None  # the sums and counts of running means
    rollout: int = 0  # rollouts that are done with, of an online job
    strength: float = 1.0  # the factor on the KL in the reward, where it follows a target

    def after(self, step: int, batches: Sequence[SourceBatch], seen: RunningSums) -> TrainerState:
        """Return the state after a step on a global batch of each source."""
        tokens = sum(tokens_of(batch.rows) for batch in batches)
        return dataclasses.replace(self, step=step, num_tokens=self.num_tokens + tokens, seen=seen)


def commit(
    root: Path,
    state: TrainerState,
    write: Callable[[Path], None],
    keep: int,
    identity: Mapping[str, Any],
) -> Path:
    """Write a checkpoint of a state; ``write`` puts the model and optimizer into the folder it is given.

    ``identity`` is the job's, as `identity_of` gives it; a checkpoint of another job is replaced.
    Returns the checkpoint's folder. At most ``keep`` checkpoints stay, the best one beside them.
    """
    root.mkdir(parents=True, exist_ok=True)
    aside, target = root / f".{checkpoint_name(state.step)}.tmp", root / checkpoint_name(state.step)
    if target.exists() and damage(target) is None and same_job(target, identity):
        return target  # the state after a step is always the same: nothing is gained by writing it again
    fsops.make_folder(aside)
    write(aside)
    fsops.write_text(aside / TRAINER_STATE, as_json(dataclasses.asdict(state)))
    fsops.write_text(aside / JOB, as_json(identity))
    fsops.write_text(aside / MANIFEST, as_json(manifest_of(aside)))
    fsops.sync_tree(aside)
    fsops.remove(target)
    fsops.rename(aside, target)
    prune(root, keep, {state.step} | ({int(state.best["step"])} if state.best else set()))
    return target


def as_json(value: Any) -> str:
    """Write a value as indented JSON."""
    return json.dumps(value, indent=1) + "\n"


def manifest_of(folder: Path) -> dict[str, str]:
    """List the files of a folder with their sha256."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    return {str(path.relative_to(folder)): fsops.digest(path) for path in files}


def damage(folder: Path) -> str | None:
    """Name the damage of a checkpoint, or return None where it is whole."""
    try:
        listed = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{MANIFEST} is missing or unreadable"
    if not isinstance(listed, dict) or TRAINER_STATE not in listed:
        return f"{MANIFEST} lists no {TRAINER_STATE}"
    for name, expected in listed.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if fsops.digest(path) != expected:
            return f"{name} is not the file that was written"
    return None


def saved(root: Path) -> list[tuple[int, Path]]:
    """List the checkpoints of a run by step, newest first."""
    steps = [(checkpoint_step(path.name), path) for path in root.glob(checkpoint_name("*"))]
    return sorted(((step, path) for step, path in steps if step is not None), reverse=True)


def newest(root: Path, report: Callable[[str], None]) -> Path | None:
    """Find the newest whole checkpoint; tell ``report`` of every damaged one that is passed over."""
    for _, path in saved(root):
        problem = damage(path)
        if problem is None:
            return path
        report(f"checkpoint {path.name} is passed over: {problem}")
    return None


def prune(root: Path, keep: int, protect: Collection[int] = ()) -> None:
    """Remove the leftovers of killed processes, and all checkpoints but the newest ``keep`` and the protected."""
    for leftover in root.glob(f".{checkpoint_name('*')}.tmp"):
        fsops.remove(leftover)
    for step, path in saved(root)[keep:]:
        if step not in protect:
            fsops.remove(path)


def read_state(folder: Path, identity: Mapping[str, Any]) -> TrainerState:
    """Read the trainer state of a checkpoint of this job.

    Failure E603 where the checkpoint is of another job, E805 where its state does not fit.
    """
    require_same(folder, identity)
    try:
        return TrainerState(**json.loads((folder / TRAINER_STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as problem:
        raise unreadable(folder / TRAINER_STATE, problem) from problem


def write_optimizer(folder: Path, slots: Mapping[str, torch.Tensor]) -> None:
    """Write the optimizer's slots, named ``parameter/slot``."""
    save_file({name: tensor.contiguous() for name, tensor in slots.items()}, folder / OPTIMIZER)


def read_optimizer(folder: Path) -> dict[str, torch.Tensor]:
    """Read the optimizer's slots. Failure E805 where the file does not fit."""
    try:
        return load_file(folder / OPTIMIZER)
    except (OSError, SafetensorError) as problem:
        raise unreadable(folder / OPTIMIZER, problem) from problem


def unreadable(path: Path, problem: Exception) -> Failure:
    """Say that a checkpoint cannot be read."""
    way_out = "remove the folder of this checkpoint to continue from the previous checkpoint"
    return Failure("E805", f"cannot read the checkpoint: {problem}", file=str(path), help=way_out)

"""What to do about an output folder that already holds a run (a pure function), and how to clear one."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from alignc.launch.inputs import digests

__all__ = ["Decision", "Existing", "clear", "decide", "fingerprint", "inspect"]

RUN = "run.json"
STATUS = "status.json"
OURS = (
    ".ranks",
    "checkpoints",
    "crash.log",
    "metrics.jsonl",
    "model",
    "quarantine.jsonl",
    RUN,
    "run.log",
    STATUS,
    "tensorboard",
    "timing.jsonl",
)
STARTED = ("checkpoints", "metrics.jsonl", RUN, STATUS)


@dataclass(frozen=True)
class Existing:
    """What an output folder holds: whose run, and whether it came to its end."""

    fingerprint: str | None
    finished: bool


@dataclass(frozen=True)
class Decision:
    """What to do: start, resume, nothing ("up_to_date"), or refuse with a code, a message and a way out."""

    action: Literal["start", "resume", "up_to_date", "refuse"]
    code: str | None = None
    message: str = ""
    help: str = ""


def fingerprint(
    job: Mapping[str, Any], loss: str, *, max_steps: int | None = None, limit: int | None = None
) -> str:
    """Hash what makes a run this run: resolved spec, plan, loss, local inputs by content, a smoke run's bounds.

    Where a value was written (its origin) does not count.
    """
    spec = job.get("spec") or {}
    parts = [job.get("alignc"), spec, job.get("plan"), loss, digests(spec), max_steps, limit]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def inspect(output_dir: Path) -> Existing | None:
    """Look at an output folder; None where no run was started in it, or one that ended before its first step."""
    if not any((output_dir / name).exists() for name in STARTED):
        return None
    status, run = read(output_dir / STATUS), read(output_dir / RUN)
    if status.get("finished") is False and not trained(output_dir):
        return None
    return Existing(run.get("fingerprint"), finished=status.get("finished") is True)


def trained(output_dir: Path) -> bool:
    """Tell whether a run left anything to lose: a checkpoint, a step's metrics or a model."""
    metrics = output_dir / "metrics.jsonl"
    left = any((output_dir / "checkpoints").glob("step-*")) or (output_dir / "model").exists()
    return left or (metrics.exists() and metrics.stat().st_size > 0)


def read(path: Path) -> dict[str, Any]:
    """Read a JSON object; a missing or torn file is empty."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def decide(existing: Existing | None, wanted: str, *, resume: bool, overwrite: bool) -> Decision:
    """Decide by whose run is there and how far it came."""
    if existing is None or overwrite:
        return Decision("start")
    if existing.fingerprint != wanted:
        return Decision(
            "refuse",
            "E603",
            "`output_dir` holds another run",
            "name another `output_dir`, or start over with --overwrite",
        )
    if existing.finished:
        return Decision("up_to_date")
    if resume:
        return Decision("resume")
    return Decision(
        "refuse",
        "E604",
        "`output_dir` holds an unfinished run of this spec",
        "go on with --resume, or start over with --overwrite",
    )


def clear(output_dir: Path) -> None:
    """Remove what a run wrote, and nothing else."""
    for name in OURS:
        path = output_dir / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

"""The identity of a job: everything that decides its weights, kept in each checkpoint and compared on resuming."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...contract.failure import Failure
from ...contract.files import JOB

__all__ = ["identity_of", "require_same", "same_job"]

NO_EFFECT = {"name", "output_dir", "launch"}  # ranks and engines compute the same; a folder may move
NO_EFFECT_TRAIN = {"logging_steps", "report_to", "save_steps", "save_total_limit"}
NAMED = 5
ABSENT = object()


def identity_of(folder: Path) -> dict[str, Any]:
    """Collect everything that decides the weights of a job: spec and plan, and the hash of its loss.

    Values that change no weight are left out: names, origins, the output folder, the launcher, logging, saving.
    """
    job = json.loads((folder / JOB).read_text(encoding="utf-8"))
    spec = {key: value for key, value in job["spec"].items() if key not in NO_EFFECT}
    spec["train"] = {key: value for key, value in spec["train"].items() if key not in NO_EFFECT_TRAIN}
    loss = hashlib.sha256((folder / "loss.py").read_bytes()).hexdigest()
    return {
        "digest": digest_of([spec, job["plan"], loss]),
        "spec": spec,
        "plan": job["plan"],
        "loss.py": loss,
    }


def digest_of(value: Any) -> str:
    """Hash a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def read_identity(checkpoint: Path) -> dict[str, Any]:
    """Read whose checkpoint it is; empty where none was noted."""
    try:
        recorded = json.loads((checkpoint / JOB).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return recorded if isinstance(recorded, dict) else {}


def same_job(checkpoint: Path, identity: Mapping[str, Any]) -> bool:
    """Tell whether a checkpoint is of the job with this identity."""
    return read_identity(checkpoint).get("digest") == identity["digest"]


def require_same(checkpoint: Path, identity: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of another job, or of one that left no word (Failure E603)."""
    if same_job(checkpoint, identity):
        return
    recorded = read_identity(checkpoint)
    raise Failure(
        "E603",
        f"`{checkpoint}` is a checkpoint of another job",
        why=f"these settings have changed: {named(recorded, identity)}"
        if recorded
        else "the checkpoint does not name its job",
        help="choose another `output_dir`, or remove the checkpoints and start again without --resume",
    )


def named(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Name the keys whose values differ."""
    old, new = (dict(leaves({**side.get("spec", {}), "plan": side.get("plan")})) for side in (before, after))
    keys = sorted(k for k in old.keys() | new.keys() if old.get(k, ABSENT) != new.get(k, ABSENT))
    keys = keys or ["loss.py"]
    return ", ".join(keys[:NAMED]) + (f" and {len(keys) - NAMED} more" if len(keys) > NAMED else "")


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """List the leaves of nested mappings by their dotted path."""
    if not isinstance(value, Mapping) or not value:
        yield path, value
        return
    for key, inner in value.items():
        yield from leaves(inner, f"{path}.{key}" if path else str(key))

"""The decision about an output folder that already holds a run (a pure function), and its removal."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from alignc.contract.files import CHECKPOINTS, METRICS, MODEL, OURS, RUN, STATUS, checkpoint_name, job_file
from alignc.launch.inputs import digests

__all__ = ["Decision", "Existing", "changed_inputs", "clear", "decide", "fingerprint", "inspect", "settings"]

NAMED = 5  # how many settings a refusal names
WIDTH = 60  # characters of a value that it shows
STARTED = (CHECKPOINTS, METRICS, RUN, STATUS)


@dataclass(frozen=True)
class Existing:
    """The run in an output folder: its identity, whether it finished, its settings and the digests of its inputs."""

    fingerprint: str | None
    finished: bool
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """The decision: start, resume, do nothing ("up_to_date"), or refuse with a code, a message and a help text."""

    action: Literal["start", "resume", "up_to_date", "refuse"]
    code: str | None = None
    message: str = ""
    help: str = ""
    why: str | None = None


def fingerprint(
    job: Mapping[str, Any],
    loss: str,
    *,
    max_steps: int | None = None,
    limit: int | None = None,
    inputs: Mapping[str, str] | None = None,
) -> str:
    """Hash the identity of a run: resolved spec, plan, loss, content of local inputs, and bounds of a smoke run.

    The origins of values do not count. `inputs` gives the digests, if they are known already.
    """
    spec = job.get("spec") or {}
    read_by_it = digests(spec) if inputs is None else dict(inputs)
    parts = [job.get("alignc"), spec, job.get("plan"), loss, read_by_it, max_steps, limit]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def inspect(output_dir: Path) -> Existing | None:
    """Inspect an output folder; return None if it holds no run, or a run that ended before its first step."""
    if not any((output_dir / name).exists() for name in STARTED):
        return None
    status, run = read(output_dir / STATUS), read(output_dir / RUN)
    if status.get("finished") is False and not trained(output_dir):
        return None
    held = settings(read(job_file(output_dir)), run.get("max_steps"), run.get("limit"))
    inputs = run.get("inputs") or {}
    return Existing(run.get("fingerprint"), status.get("finished") is True, held, inputs)


def trained(output_dir: Path) -> bool:
    """Return whether a run left results: a checkpoint, the metrics of a step, or a model."""
    metrics = output_dir / METRICS
    left = any((output_dir / CHECKPOINTS).glob(checkpoint_name("*"))) or (output_dir / MODEL).exists()
    return left or (metrics.exists() and metrics.stat().st_size > 0)


def read(path: Path) -> dict[str, Any]:
    """Read a JSON object; a missing or damaged file counts as empty."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def decide(
    existing: Existing | None,
    wanted: str,
    *,
    resume: bool,
    overwrite: bool,
    keep: bool = False,
    settings: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str] | None = None,
) -> Decision:
    """Decide by the existing run and its progress; `settings` and `inputs` belong to the wanted run.

    `keep` limits --overwrite to runs that are out of date; this is the rule for several stages.
    """
    if existing is None:
        return Decision("start")
    same = existing.fingerprint == wanted
    why = None if same else differences(existing, settings or {}, inputs or {})
    if same and existing.finished and (keep or not overwrite):
        return Decision("up_to_date")
    if same and resume and (keep or not overwrite):
        return Decision("resume")
    if overwrite:
        return Decision("start", why=why)
    if not same:
        help_ = "choose another `output_dir`, or start again with --overwrite"
        return Decision("refuse", "E603", "`output_dir` holds another run", help_, why)
    help_ = "continue with --resume, or start again with --overwrite"
    return Decision("refuse", "E604", "`output_dir` holds an unfinished run of this spec", help_)


def settings(
    job: Mapping[str, Any], max_steps: int | None = None, limit: int | None = None
) -> dict[str, Any]:
    """Map dotted names to the settings of a run: the spec, the version and the bounds; empty without a job."""
    if not job.get("spec"):
        return {}
    bounds = {"--max-steps": max_steps, "--limit": limit}
    return {**dict(_leaves(job["spec"])), "alignc": job.get("alignc"), **bounds}


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping) or not value:
        yield path, value
        return
    for key, inner in value.items():
        yield from _leaves(inner, f"{path}.{key}" if path else str(key))


def differences(
    existing: Existing, settings: Mapping[str, Any], inputs: Mapping[str, str] | None = None
) -> str | None:
    """Describe the first differing settings (`key: before → after`) and inputs; None if one side is unknown."""
    before = existing.settings
    if not before or not settings:
        return None
    keys = sorted(key for key in before.keys() | settings.keys() if before.get(key) != settings.get(key))
    shown = [f"`{key}: {_told(before.get(key))} → {_told(settings.get(key))}`" for key in keys[:NAMED]]
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    changed = [f"the content of `{key}`" for key in changed_inputs(existing, inputs or {}) if key not in keys]
    if shown or changed:
        return f"the differences are: {', '.join([*shown, *changed])}{more}"
    return "the settings are the same, but an input file or the emitted loss differs"


def changed_inputs(existing: Existing, inputs: Mapping[str, str]) -> list[str]:
    """List the inputs whose content has changed since the start of the run."""
    known = existing.inputs
    return sorted(key for key, digest in inputs.items() if key in known and known[key] != digest)


def _told(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def clear(output_dir: Path) -> None:
    """Remove the files of a run, and no other file."""
    for name in OURS:
        path = output_dir / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

"""Read the files in the output folder of a run; an incomplete last line of a running job is skipped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignc.contract.exits import INTERRUPTED, RESUMABLE
from alignc.contract.files import METRICS, ROLLOUTS, STATUS, TIMING, job_file
from alignc.diagnostics import Diagnostic, DiagnosticError, Span

__all__ = ["Run", "read_run"]

SHOWN = 24
"""The number of last responses on the page."""
LARGEST = 1e300
TAIL = 1 << 22
"""The number of bytes that are read from the end of `rollouts.jsonl`."""


@dataclass(frozen=True)
class Run:
    """A run: its job, the lines of `metrics.jsonl`, its status, its last responses, and its seconds in steps."""

    folder: Path
    name: str
    job: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]
    status: Mapping[str, Any]
    rollouts: Sequence[Mapping[str, Any]]
    seconds: float

    @property
    def state(self) -> str:
        """The state of the run: finished, failed, interrupted, or not ended."""
        if self.status.get("finished") is True:
            return "finished"
        code = self.status.get("exit")
        if code is None:
            return "not ended"
        return "interrupted" if code in (RESUMABLE, INTERRUPTED) else f"failed (exit {code})"

    @property
    def step(self) -> int:
        """The last recorded step."""
        return int(self.metrics[-1].get("step", 0)) if self.metrics else int(self.status.get("step") or 0)

    def series(self, metric: str) -> list[tuple[float, float]]:
        """Return the values of a metric by step, without values that are not numbers."""
        found = ((_number(row.get("step")), _number(row.get(metric))) for row in self.metrics)
        return [(step, value) for step, value in found if step is not None and value is not None]

    def last(self, metric: str) -> float | None:
        """Return the last value of a metric."""
        found = self.series(metric)
        return found[-1][1] if found else None


def _number(value: Any) -> float | None:
    whole = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST
    return float(value) if whole else None


def read_run(folder: Path) -> Run:
    """Read a run. Raises DiagnosticError (E008) if there is no run."""
    job, metrics = _object(job_file(folder)), list(_lines(folder / METRICS))
    status = _object(folder / STATUS)
    if not job and not metrics and not status:
        why = (
            "the folder of a run holds `job/job.json` and `metrics.jsonl`; it is the `output_dir` of the spec"
        )
        raise DiagnosticError(Diagnostic("E008", f"there is no run in `{folder}`", Span.at(str(folder)), why))
    timing = _lines(folder / TIMING)
    return Run(
        folder=folder,
        name=str(job.get("name") or folder.name),
        job=job,
        metrics=metrics,
        status=status,
        rollouts=_last_responses(folder / ROLLOUTS),
        seconds=sum(float(row.get("seconds") or 0) for row in timing),
    )


def _object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError:
        return
    yield from _parsed(text.split("\n"))


def _parsed(lines: Sequence[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def _last_responses(path: Path) -> list[dict[str, Any]]:
    """Read the last responses from the end of a file that may be long."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - TAIL))
            lines = stream.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return []
    return list(_parsed(lines))[-SHOWN:]

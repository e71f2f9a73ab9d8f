"""A report as a short text."""

from __future__ import annotations

from collections.abc import Sequence

from alignc.report.curves import metrics_of, number
from alignc.report.read import Run

__all__ = ["summary"]

SHOWN = 6


def summary(runs: Sequence[Run]) -> str:
    """Describe each run: its state, and the first and last values of its main metrics."""
    return "\n".join(line for run in runs for line in _lines(run)) + "\n"


def _lines(run: Run) -> list[str]:
    found = [f"{run.name}: {run.state}, {run.step} steps ({run.folder})"]
    for metric in metrics_of([run])[:SHOWN]:
        held = run.last(f"eval_{metric}")
        series = run.series(metric)
        change = f"{number(series[0][1])} → {number(series[-1][1])}" if series else ""
        parts = [part for part in (change, f"held out {number(held)}" if held is not None else "") if part]
        found.append(f"  {metric:<24} {', '.join(parts)}")
    messages = (d for d in run.status.get("diagnostics") or () if isinstance(d, dict))
    return found + [f"  {d.get('severity')}[{d.get('code')}]: {d.get('message')}" for d in messages]

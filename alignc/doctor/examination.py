"""The whole examination: the machine, and the specs that will run on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alignc.api import specs_of
from alignc.doctor.demands import demands, lacking, needed
from alignc.doctor.finding import Finding
from alignc.doctor.machine import access, caches, compilers, hardware, place
from alignc.doctor.packages import packages
from alignc.doctor.probe import Torch, probe

__all__ = ["examine"]


def examine(
    spec: str | None = None,
    overrides: Sequence[str] = (),
    *,
    online: bool = False,
    torch: Torch | None = None,
) -> list[Finding]:
    """Examine this machine, and the needs of a spec or of each stage of a pipeline.

    `online` also contacts the hub. `torch` holds the findings of torch; None probes torch in a process of its own.
    Raises DiagnosticError for a spec with errors.
    """
    asked = [demands(each, overrides) for each in specs_of(spec)] if spec else []
    found = probe() if torch is None else torch
    wanted = {name for each in asked for name in needed(each.spec, found)}
    here = [] if asked else [place("folders", "working folder", Path(), "change to a writable folder")]
    return [
        *packages(wanted),
        *hardware(found, wanted),
        *compilers(wanted),
        *here,
        *caches(),
        *access(Path(spec.partition("#")[0]) if spec else None, online),
        *lacking(asked, found),
    ]

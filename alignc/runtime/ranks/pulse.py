"""The files that each process leaves for the launcher: that it lives, how far it is, and how it ended.

`OUTPUT/.ranks/R.json` is written at the start and at the end; `R.beat` counts the places a rank has passed,
so that the launcher can tell a hung rank from those that wait for it.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ...contract.files import RANKS, STATUS
from ..base import fsops

__all__ = ["Pulse", "write_status"]


class Pulse:
    """A rank's sign of life."""

    def __init__(self, output_dir: Path, rank: int) -> None:
        self.folder, self.rank, self.count = output_dir / RANKS, rank, 0
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write({})

    def write(self, end: dict[str, Any]) -> None:
        """Write the rank's record."""
        record = {"pid": os.getpid(), "rank": self.rank} | end
        fsops.replace_text(self.folder / f"{self.rank}.json", json.dumps(record) + "\n")

    def beat(self) -> None:
        """Count one more place passed."""
        self.count += 1
        (self.folder / f"{self.rank}.beat").write_text(f"{self.count}\n")

    def end(self, exit_code: int, diagnostics: list[dict[str, Any]]) -> None:
        """Record how the rank ended."""
        self.write({"exit": exit_code, "diagnostics": diagnostics, "ended": time.time()})


def write_status(
    output_dir: Path, exit_code: int, diagnostics: list[dict[str, Any]], *, finished: bool, step: int
) -> None:
    """Write `status.json`, which the launcher exits with."""
    status = {"exit": exit_code, "diagnostics": diagnostics, "finished": finished, "step": step}
    fsops.replace_text(output_dir / STATUS, json.dumps(status, indent=1) + "\n")

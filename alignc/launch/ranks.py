"""The records of the ranks in `OUTPUT/.ranks`: whether they live, their progress, and their end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Rank", "alive", "hung", "read_ranks"]


@dataclass(frozen=True)
class Rank:
    """One rank: ``exit`` is None until the rank ends by itself; ``quiet`` are the seconds since its last beat."""

    rank: int
    pid: int
    exit: int | None = None
    diagnostics: tuple[dict[str, Any], ...] = ()
    ended: float = 0.0
    beats: int = 0
    quiet: float = 0.0
    stopped: bool = False


def read_ranks(folder: Path) -> list[Rank]:
    """Read all ranks' records, in their order."""
    found = [read_rank(path) for path in folder.glob("*.json")]
    return sorted((rank for rank in found if rank is not None), key=lambda each: each.rank)


def read_rank(path: Path) -> Rank | None:
    """Read one rank's record and its beat."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    beats, quiet = read_beat(path.with_suffix(".beat"))
    return Rank(
        rank=record["rank"],
        pid=record["pid"],
        exit=record.get("exit"),
        diagnostics=tuple(record.get("diagnostics", ())),
        ended=record.get("ended", 0.0),
        beats=beats,
        quiet=quiet,
        stopped=state_of(record["pid"]) in ("T", "t"),
    )


def read_beat(path: Path) -> tuple[int, float]:
    """Return the number of points that a rank has passed, and the seconds since the last point (0 before the first)."""
    try:
        return int(path.read_text(encoding="utf-8") or 0), time.time() - path.stat().st_mtime
    except (OSError, ValueError):
        return 0, 0.0


def state_of(pid: int) -> str | None:
    """Return the state letter of a process on Linux (T: stopped, Z: dead and not yet collected), or None."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return None


def alive(pid: int) -> bool:
    """Return whether a process lives; a dead process that is not yet collected does not."""
    if state_of(pid) == "Z":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def hung(ranks: Sequence[Rank], timeout: float) -> Rank | None:
    """Return the rank that the others wait for, if a rank has been quiet for too long.

    This is a stopped process, else the rank that has passed the fewest points, and among these the quietest.
    """
    running = [rank for rank in ranks if rank.exit is None]
    if not any(rank.quiet > timeout for rank in running):
        return None
    return min(running, key=lambda rank: (not rank.stopped, rank.beats, -rank.quiet))

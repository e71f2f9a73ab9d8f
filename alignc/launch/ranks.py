"""What the ranks of a run leave in `OUTPUT/.ranks`: who lives, how far each is, how each ended."""

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
    """One rank: ``exit`` is None while it has not ended by itself; ``quiet`` is seconds since its last beat."""

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
    """Read how many places a rank has passed, and how long ago the last was; 0 before the first."""
    try:
        return int(path.read_text(encoding="utf-8") or 0), time.time() - path.stat().st_mtime
    except (OSError, ValueError):
        return 0, 0.0


def state_of(pid: int) -> str | None:
    """Give the state letter of a process on Linux (T: stopped, Z: dead and not yet collected), or None."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return None


def alive(pid: int) -> bool:
    """Tell whether a process lives; one that is dead and not yet collected does not."""
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
    """Find the rank that the others wait for, once one has been quiet for too long.

    A stopped process is it; else the one that has passed the fewest places, and of those the quietest.
    """
    running = [rank for rank in ranks if rank.exit is None]
    if not any(rank.quiet > timeout for rank in running):
        return None
    return min(running, key=lambda rank: (not rank.stopped, rank.beats, -rank.quiet))

"""`rollouts.jsonl`: the responses of each rollout and their scores, one response a line.

The file only grows while a run goes on. A resumed run cuts it back to the rollout of its checkpoint; a line that a
crash left half-written is dropped with what comes after it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from ...contract.files import ROLLOUTS
from ..base import fsops

__all__ = ["ROLLOUTS", "Record", "RolloutLog", "cut_behind", "read_rollouts"]


@dataclass(frozen=True)
class Record:
    """One response of a rollout.

    ``step`` counts the optimizer steps that the policy had made, ``sample`` the responses to one prompt from 0.
    ``ended`` tells that the response closed with EOS. One of ``reward`` and ``win_rate`` is there, or both;
    ``parts`` are the rewards that a weighted sum was made of, by name.
    """

    rollout: int
    step: int
    row: int
    sample: int
    origin: str
    prompt: str
    completion: str
    ended: bool
    reward: float | None = None
    win_rate: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)


class RolloutLog:
    """Appends records to a run's file; rank 0 alone has one."""

    def __init__(self, folder: Path, *, after: int) -> None:
        """Open the file of a run that goes on after rollout ``after``; below the first to start anew."""
        folder.mkdir(parents=True, exist_ok=True)
        cut_behind(folder / ROLLOUTS, after)
        self.file = (folder / ROLLOUTS).open("a", encoding="utf-8")

    def write(self, records: Iterable[Record]) -> None:
        """Write a rollout's records, and hand them to the operating system."""
        self.file.writelines(_line(record) for record in records)
        self.file.flush()

    def sync(self) -> None:
        """Bring the file to the disk: a checkpoint must not be ahead of it."""
        self.file.flush()
        os.fsync(self.file.fileno())

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    def __enter__(self) -> RolloutLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _line(record: Record) -> str:
    present = {name: value for name, value in asdict(record).items() if value is not None}
    return json.dumps(present, allow_nan=False) + "\n"


def cut_behind(path: Path, rollout: int) -> None:
    """Drop what was recorded after a rollout, and all from the first line on that is not whole."""
    if not path.exists():
        return
    kept = 0
    with path.open("r+b") as file:
        for line in file:
            record = _parsed(line)
            if record is None or record.rollout > rollout:
                break
            kept += len(line)
        file.truncate(kept)
        file.flush()
        os.fsync(file.fileno())
    fsops.sync(path.parent)


def read_rollouts(path: Path, wanted: Collection[int] | None = None) -> Iterator[Record]:
    """Yield the records of a file, or of the wanted rollouts, up to the first line that is not whole.

    Where there is no file there are no records.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            record = _parsed(line)
            if record is None:
                return
            if wanted is None or record.rollout in wanted:
                yield record


_NAMES = {each.name for each in fields(Record)}


def _parsed(line: bytes) -> Record | None:
    """Parse a line, keys of a later version left out; None where it is not a whole record."""
    if not line.endswith(b"\n"):
        return None
    try:
        row: Any = json.loads(line)
        return Record(**{name: value for name, value in row.items() if name in _NAMES})
    except (AttributeError, TypeError, ValueError):
        return None

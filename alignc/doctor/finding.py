"""The result of one check: its state, and help if something is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "State", "verdict"]

State = Literal["ok", "lacks", "note"]


@dataclass(frozen=True)
class Finding:
    """One line of the result: `ok`, `lacks` for a missing thing that is needed, or `note` for information."""

    group: str
    name: str
    state: State
    found: str
    help: str | None = None


def verdict(there: bool, needed: bool) -> State:
    """Return `ok` for a present thing, else `lacks` if it is needed, else `note`."""
    return "ok" if there else "lacks" if needed else "note"

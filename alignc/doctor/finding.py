"""A thing that was looked at: how it stands, and the way out where it lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "State", "verdict"]

State = Literal["ok", "lacks", "note"]


@dataclass(frozen=True)
class Finding:
    """One line: `ok`; `lacks` where something needed is not there; `note` for what is good to know."""

    group: str
    name: str
    state: State
    found: str
    help: str | None = None


def verdict(there: bool, needed: bool) -> State:
    """Call what is not there lacking only where it is needed."""
    return "ok" if there else "lacks" if needed else "note"

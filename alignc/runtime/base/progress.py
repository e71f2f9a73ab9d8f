"""Lines for people about long work without steps of its own: `reference  120/600 rows  20 %  eta 0:45`.

They come by the clock, to stderr alone: nothing that is compared between runs may depend on them.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

from .console import say

__all__ = ["Progress", "line_of"]

SECONDS = 5.0
"""Between two lines; shorter work goes without one."""


class Progress:
    """Counts work that is done, and says about every ``seconds`` how much that is, where it has changed.

    A thread tells the time: one piece may take long, and the first line must not wait for it.
    """

    def __init__(
        self, name: str, unit: str, total: int, *, shown: bool = True, seconds: float = SECONDS
    ) -> None:
        self.name, self.unit, self.total, self.seconds = name, unit, total, seconds
        self.done = self.free = 0
        self.began = time.monotonic()
        self.over = threading.Event()
        self.teller = threading.Thread(target=self.tell, daemon=True) if shown and total else None

    def add(self, count: int, *, free: bool = False) -> None:
        """Count work as done; ``free``: it was there already, and says nothing of the time that the rest takes."""
        self.done += count
        self.free += count if free else 0

    def tell(self) -> None:
        """Say the line again and again until the work is over."""
        last = -1
        while not self.over.wait(self.seconds):
            if self.done != last:
                last = self.done
                elapsed = time.monotonic() - self.began
                say(line_of(self.name, self.unit, last, self.total, elapsed, self.free))

    def __enter__(self) -> Self:
        if self.teller is not None:
            self.teller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.over.set()
        if self.teller is not None:
            self.teller.join()


def line_of(name: str, unit: str, done: int, total: int, seconds: float, free: int = 0) -> str:
    """Write how much is done, and when the rest will be done at the speed of these ``seconds``."""
    line = f"{name}  {done}/{total} {unit}  {100 * done // total} %"
    paid = done - free
    return f"{line}  eta {clock(seconds / paid * (total - done))}" if paid else line


def clock(seconds: float) -> str:
    """Write a time as minutes and seconds, from an hour on with the hours."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

"""SIGTERM and SIGINT become a flag that the loop looks at between steps; a second SIGINT ends at once."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from types import FrameType

from ...contract.exits import INTERRUPTED, RESUMABLE

__all__ = ["Interrupted", "Stop", "die_with_parent"]

EXIT_CODES = {signal.SIGTERM: RESUMABLE, signal.SIGINT: INTERRUPTED}


class Interrupted(Exception):  # noqa: N818 - no error: a wish
    """End the run because of a signal; the exit code is `RESUMABLE` (SIGTERM) or `INTERRUPTED` (SIGINT)."""

    def __init__(self, signum: int, saved: str | None = None) -> None:
        super().__init__(f"interrupted by {signal.Signals(signum).name}")
        self.signum, self.saved = signum, saved
        self.exit_code = EXIT_CODES.get(signal.Signals(signum), RESUMABLE)


class Stop:
    """The wish to stop: the number of the signal that came, or 0."""

    def __init__(self) -> None:
        self.signum = 0

    def install(self) -> Stop:
        """Catch SIGTERM and SIGINT from here on."""
        for signum in EXIT_CODES:
            signal.signal(signum, self.catch)
        return self

    def catch(self, signum: int, frame: FrameType | None) -> None:
        """Note a signal; the second SIGINT ends the process without saving."""
        if signum == signal.SIGINT and self.signum == signal.SIGINT:
            os._exit(INTERRUPTED)
        self.signum = signum

    def check(self, saved: str | None = None) -> None:
        """Raise Interrupted where a signal came. For phases with nothing to save, on one process."""
        if self.signum:
            raise Interrupted(self.signum, saved)


def die_with_parent(signum: int = signal.SIGTERM) -> None:
    """Ask Linux to send a signal to this process when its parent dies, so that no rank is orphaned."""
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG, <linux/prctl.h>
        ctypes.CDLL(None).prctl(set_parent_death_signal, signum)

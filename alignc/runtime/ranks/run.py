"""The running job: its folder, its options, the wish to stop, and the last step that is safe on disk."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from ...contract.job import Job
from ..base.signals import Interrupted, Stop
from .pulse import Pulse
from .world import World

__all__ = ["Options", "Run", "halt"]


@dataclass(frozen=True)
class Options:
    """The options on the command line of `train.py`."""

    resume: bool = False
    max_steps: int | None = None
    limit: int | None = None


@dataclass
class Run:
    """A running job: its folder, its options, the wish to stop, and the last step that is safe on disk."""

    job: Job
    folder: Path
    options: Options
    pulse: Pulse
    stop: Stop = field(default_factory=Stop)
    step: int = 0
    resources: ExitStack = field(default_factory=ExitStack)
    """Processes, models and files that are closed when the run ends, however it ends."""

    def goes_on(self) -> bool:
        """Count a place passed, and tell whether no signal has come."""
        self.pulse.beat()
        return not self.stop.signum


def halt(run: Run, world: World, saved: str | None = None) -> None:
    """Stop here, all ranks together, where any of them got a signal."""
    signum = world.agree(run.stop.signum)
    if signum:
        raise Interrupted(signum, saved)

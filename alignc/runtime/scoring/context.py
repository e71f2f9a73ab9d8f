"""The values that every forward of a run shares: the run, its ranks, its tokenizer, the layout of its batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...contract.job import Job
from ..data.example import Example
from ..ranks.run import Run
from ..ranks.world import World
from .micro import BatchLayout

__all__ = ["Context"]


@dataclass(frozen=True)
class Context:
    """One value in the place of four that travel together. It stays the same from the first forward to the last."""

    run: Run
    world: World
    tokenizer: Any
    layout: BatchLayout
    rows: Sequence[Example] = ()
    """Some rows of the data, for the probes of models."""

    @property
    def job(self) -> Job:
        """The job of the run, with all of its sources."""
        return self.run.job

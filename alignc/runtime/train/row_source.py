"""Where the rows of a step come from: a data set in an order of its own, or a policy that answers prompts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import nn

from ..data import Counts
from ..scoring.context import Context
from ..scoring.objective import SourceBatch, SourceObjective
from .checkpoint import TrainerState

__all__ = ["Evaluated", "RowSource", "TrainStep"]


@dataclass(frozen=True)
class TrainStep:
    """A step of a run, counted from 1, and where it stands in its rollout.

    Between the steps of a rollout a run can't be saved; of given rows each step is a stretch of its own.
    """

    number: int
    epoch: float
    """Passes over the rows, or the prompts, that are done after the step."""
    before: int
    """The last step after which the run could be saved."""
    left: int = 0
    """The steps from this one to the next after which it can be saved."""
    rollout: int | None = None
    """The number of the rollout, from 1; None where all rows are given."""
    began: float = field(default_factory=time.monotonic)
    """The time of a clock when the step, or the rollout before it, began."""

    @property
    def starts_rollout(self) -> bool:
        """Whether a rollout has to be made before this step."""
        return self.rollout is not None and self.number == self.before + 1


class Evaluated(Protocol):
    """The side of a source that evaluation sees: a loss, and held-out rows or prompts."""

    @property
    def objective(self) -> SourceObjective:
        """The loss over the rows of this source, and its needs."""

    @property
    def held_out_size(self) -> int:
        """The number of held-out rows or prompts."""

    def evaluate(self, context: Context, scorer: nn.Module, state: TrainerState) -> Mapping[str, float]:
        """Give the metrics over the held-out rows or prompts, named ``eval_*``. A signal interrupts."""


class RowSource(Evaluated, Protocol):
    """A source of rows: the loss over them, which of them a step takes, and those that are held out."""

    @property
    def counts(self) -> Counts:
        """The number of rows that were read, kept, refused and cut."""

    def renewed(self, context: Context, step: TrainStep, state: TrainerState) -> RowSource:
        """Make the rollout that begins with a step, where this source samples its rows."""

    def batch(self, step: TrainStep) -> SourceBatch:
        """List the rows that a step takes of this source, over all ranks."""

    def after_rollout(self, state: TrainerState) -> TrainerState:
        """Keep in the state the numbers of a finished rollout that the next one needs."""

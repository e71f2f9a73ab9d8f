"""Rows of a data set: their order, their anchors, and the evaluation of those that are held out."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ...contract.job import Job
from ..base.seeds import derive
from ..data import Counts, Dataset, load_examples, settings_from_job
from ..data.batches import RowOrder, row_order
from ..scoring.context import Context
from ..scoring.micro import Anchors
from ..scoring.objective import SourceBatch, SourceObjective
from .checkpoint import TrainerState
from .evaluate import evaluate
from .row_source import TrainStep

__all__ = ["GivenRows", "load_given"]


@dataclass(frozen=True, eq=False)
class GivenRows:
    """Rows of a data set: the loss over them, the order in which steps take them, and their anchors."""

    objective: SourceObjective
    rows: Dataset
    held_out: Dataset
    order: RowOrder
    anchors: Anchors = field(default_factory=dict)
    held_out_anchors: Anchors = field(default_factory=dict)

    @property
    def counts(self) -> Counts:
        """The number of rows that were read, kept, refused and cut."""
        return self.rows.counts

    @property
    def held_out_size(self) -> int:
        """The number of held-out rows."""
        return len(self.held_out)

    def until(self, total_steps: int) -> GivenRows:
        """Return the source with the number of steps of the whole run, which another source may count."""
        return dataclasses.replace(self, order=dataclasses.replace(self.order, total_steps=total_steps))

    def with_anchors(self, anchors: Anchors, held_out: Anchors) -> GivenRows:
        """Return the source with the anchors of its training rows and of its held-out rows."""
        return dataclasses.replace(self, anchors=anchors, held_out_anchors=held_out)

    def renewed(self, context: Context, step: TrainStep, state: TrainerState) -> GivenRows:
        """Return the source as it is: given rows stay the same."""
        return self

    def batch(self, step: TrainStep) -> SourceBatch:
        """List the rows that a step takes of this source, over all ranks; passes over them follow one another."""
        return SourceBatch(
            self.objective, [self.rows[row] for row in self.order.batch(step.number)], self.anchors
        )

    def after_rollout(self, state: TrainerState) -> TrainerState:
        """Return the state as it is."""
        return state

    def evaluate(self, context: Context, scorer: nn.Module, state: TrainerState) -> dict[str, float]:
        """Evaluate the loss on the held-out rows; of several sources each has a name for its own."""
        batch = SourceBatch(self.objective, self.held_out.examples, self.held_out_anchors)
        values = evaluate(context, batch, scorer, state.seen)
        if not self.objective.source:
            return values
        name = f"eval_{self.objective.name_of_loss()}"
        return {name: values.pop("eval_loss"), **values}


def load_given(
    job: Job, objective: SourceObjective, tokenizer: Any, world: int, limit: int | None, max_steps: int | None
) -> GivenRows:
    """Load the training rows and the held-out rows of a source, ``job`` being the job as if it were the only one."""
    settings, number = settings_from_job(job).of_source(objective.source), objective.source
    rows = load_examples(settings, tokenizer, which="train", limit=limit)
    held_out = load_examples(settings, tokenizer, which="eval", limit=limit)
    order = row_order(job.spec.train, len(rows), world, max_steps)
    if number:
        order = dataclasses.replace(order, seed=derive(order.seed, "source", number))
    return GivenRows(objective, rows, held_out, order)

"""The arithmetic of steps, epochs and rollouts: `plan` counts with it, and the loop goes by it.

Steps and rollouts are counted from 1. A step takes `size` rows over all ranks and micro-batches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["RolloutSteps", "RowSteps", "rollout_steps", "row_steps", "rows_per_step"]


@dataclass(frozen=True)
class RowSteps:
    """The steps over given rows: ``rows`` in all, ``size`` of them a step, ``total_steps`` of the run."""

    rows: int
    size: int
    total_steps: int

    @property
    def steps_per_epoch(self) -> int:
        """Steps in a pass over the data; the last one may be short."""
        return math.ceil(self.rows / self.size)

    def epoch_after(self, step: int) -> float:
        """Passes over the data that are done after a step."""
        epoch, index = divmod(step, self.steps_per_epoch)
        return epoch + index * self.size / self.rows


@dataclass(frozen=True)
class RolloutSteps:
    """The steps over sampled rows: ``prompts`` in all, ``width`` a rollout, ``size`` a step.

    ``epochs`` counts the passes over a rollout's rows, ``total_steps`` ends the run wherever it is.
    """

    prompts: int
    width: int
    size: int
    epochs: int
    total_steps: int

    @property
    def rollouts_per_pass(self) -> int:
        """Rollouts in a pass over the prompts; the last one may be short."""
        return math.ceil(self.prompts / self.width)

    @property
    def rollouts(self) -> int:
        """Rollouts that the run's steps take; the last one may be cut short."""
        passes, left = divmod(self.total_steps, self.steps_before(self.rollouts_per_pass + 1))
        count = passes * self.rollouts_per_pass
        while left > 0:
            count += 1
            left -= self.steps_of(count)
        return count

    def prompts_in(self, rollout: int) -> int:
        """Prompts that a rollout takes."""
        index = (rollout - 1) % self.rollouts_per_pass
        return min(self.width, self.prompts - index * self.width)

    def steps_of(self, rollout: int) -> int:
        """Steps on a rollout's rows, where it is not cut short."""
        return self.epochs * math.ceil(self.prompts_in(rollout) / self.size)

    def steps_before(self, rollout: int) -> int:
        """Steps on the rollouts before one.

        10 prompts in rollouts of 4, steps of 2 rows, 2 epochs: the rollouts of a pass take 4, 4 and 2 prompts and
        so 4, 4 and 2 steps. Before rollouts 1 to 5 there are 0, 4, 8, 10 and 14 steps.
        """
        passes, index = divmod(rollout - 1, self.rollouts_per_pass)
        a_pass = sum(self.steps_of(number + 1) for number in range(self.rollouts_per_pass)) if passes else 0
        return passes * a_pass + sum(self.steps_of(number + 1) for number in range(index))

    def epoch_after(self, rollout: int, step: int) -> float:
        """Passes over the prompts that are done after a step of a rollout."""
        passes, index = divmod(rollout - 1, self.rollouts_per_pass)
        share = (step - self.steps_before(rollout)) / self.steps_of(rollout)
        return passes + (index * self.width + share * self.prompts_in(rollout)) / self.prompts


def rows_per_step(batch_size: int, accumulation_steps: int, processes: int) -> int:
    """Count the rows of a step: of all processes and micro-batches."""
    return batch_size * accumulation_steps * processes


def row_steps(rows: int, size: int, *, epochs: float, limit: int | None = None) -> RowSteps:
    """Count the steps over given rows: a ``limit`` wins over the passes, and there is one step at the least."""
    passes = max(1, math.ceil(epochs * math.ceil(rows / size)))
    return RowSteps(rows, size, limit or passes)


def rollout_steps(
    prompts: int,
    size: int,
    *,
    minibatches: int,
    rollout_epochs: int,
    passes: float,
    iterations: int | None = None,
    limit: int | None = None,
) -> RolloutSteps:
    """Count the steps over sampled rows; a rollout takes the prompts of ``minibatches`` steps.

    Prompts go by ``passes``, over which a ``limit`` wins, as on given rows. With ``iterations`` (self-play) a rollout
    takes all prompts, there are so many rollouts, and a ``limit`` may only cut them short.
    """
    width = min(prompts, size * minibatches) if iterations is None else prompts
    draft = RolloutSteps(prompts, width, size, rollout_epochs, 0)
    rollouts = max(1, math.ceil(passes * draft.rollouts_per_pass)) if iterations is None else iterations
    whole = draft.steps_before(rollouts + 1)
    steps = limit or whole
    return RolloutSteps(
        prompts, width, size, rollout_epochs, steps if iterations is None else min(whole, steps)
    )

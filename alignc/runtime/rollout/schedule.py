"""Which prompts a rollout takes and which rows a step: a pure function of (seed, rollout, epoch), as in `batches`.

A run is a sequence of rollouts, counted from 1 as steps are. A rollout takes the next prompts of a shuffled pass;
its rows, one a prompt, are then trained on in minibatches, a few times over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ...contract.job import Job
from ...contract.kinds import SELF_PLAY
from ..base.seeds import derive, permutation

__all__ = ["RolloutSchedule", "schedule_for"]


@dataclass(frozen=True)
class RolloutSchedule:
    """The order of the prompts: ``prompts`` in all, ``width`` a rollout, ``size`` a step over all ranks.

    ``epochs`` counts the passes over a rollout's rows, ``total_steps`` ends the run wherever it is.
    """

    prompts: int
    width: int
    size: int
    epochs: int
    seed: int
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

    def taken(self, rollout: int) -> list[int]:
        """List the prompts of a rollout."""
        passes, index = divmod(rollout - 1, self.rollouts_per_pass)
        order = permutation(self.prompts, derive(self.seed, "prompts", passes))
        return [int(row) for row in order[index * self.width : (index + 1) * self.width]]

    def minibatches(self, rollout: int) -> list[list[int]]:
        """List a rollout's rows (by place in it) step by step: every epoch has an order of its own."""
        count = self.prompts_in(rollout)
        orders = (
            permutation(count, derive(self.seed, "minibatches", rollout, epoch))
            for epoch in range(self.epochs)
        )
        return [
            [int(row) for row in order[start : start + self.size]]
            for order in orders
            for start in range(0, count, self.size)
        ]

    def steps(self, rollout: int) -> list[tuple[int, list[int]]]:
        """List a rollout's steps by number (from 1 over the whole run), each with its rows."""
        first = self.steps_before(rollout) + 1
        numbered = enumerate(self.minibatches(rollout), first)
        return [(step, rows) for step, rows in numbered if step <= self.total_steps]

    def epoch_after(self, rollout: int, step: int) -> float:
        """Passes over the prompts that are done after a step of a rollout."""
        passes, index = divmod(rollout - 1, self.rollouts_per_pass)
        share = (step - self.steps_before(rollout)) / self.steps_of(rollout)
        return passes + (index * self.width + share * self.prompts_in(rollout)) / self.prompts


def schedule_for(job: Job, prompts: int, world: int, max_steps: int | None = None) -> RolloutSchedule:
    """Build the schedule of an online job; ``max_steps`` is the command line's.

    Prompts go by `num_train_epochs`, over which `max_steps` above 0 wins, as on given data. Self-play answers every
    prompt in each of its `iterations`, which `max_steps` may only cut short.
    """
    train, data = job.spec.train, job.prompts
    size = train.per_device_train_batch_size * train.gradient_accumulation_steps * world
    plays = data.kind == SELF_PLAY
    width = prompts if plays else min(prompts, size * train.rollout_minibatches)
    draft = RolloutSchedule(prompts, width, size, train.rollout_epochs, train.seed, 0)
    wanted = (
        data.iterations or 1 if plays else max(1, math.ceil(train.num_train_epochs * draft.rollouts_per_pass))
    )
    whole = draft.steps_before(wanted + 1)
    limit = max_steps or (train.max_steps if train.max_steps > 0 else whole)
    return RolloutSchedule(
        prompts, width, size, train.rollout_epochs, train.seed, min(whole, limit) if plays else limit
    )

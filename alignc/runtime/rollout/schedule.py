"""Which prompts a rollout takes and which rows a step: a pure function of (seed, rollout, epoch), as in `batches`.

A run is a sequence of rollouts, counted from 1 as steps are. A rollout takes the next prompts of a shuffled pass;
its rows, one a prompt, are then trained on in minibatches, a few times over.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...contract.job import Job
from ...contract.kinds import SELF_PLAY
from ...contract.schedule import RolloutSteps, rollout_steps, rows_per_step
from ..base.seeds import derive, permutation

__all__ = ["RolloutSchedule", "schedule_for"]


@dataclass(frozen=True)
class RolloutSchedule(RolloutSteps):
    """The steps over the prompts, and their order, which the ``seed`` decides."""

    seed: int

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


def schedule_for(job: Job, prompts: int, world: int, max_steps: int | None = None) -> RolloutSchedule:
    """Build the schedule of an online job; ``max_steps`` is the command line's.

    Prompts go by `num_train_epochs`, over which `max_steps` above 0 wins, as on given data. Self-play answers every
    prompt in each of its `iterations`, which `max_steps` may only cut short.
    """
    train, data = job.spec.train, job.prompts
    counted = rollout_steps(
        prompts,
        rows_per_step(train.per_device_train_batch_size, train.gradient_accumulation_steps, world),
        minibatches=train.rollout_minibatches,
        rollout_epochs=train.rollout_epochs,
        passes=train.num_train_epochs,
        iterations=(data.iterations or 1) if data.kind == SELF_PLAY else None,
        limit=max_steps or (train.max_steps if train.max_steps > 0 else None),
    )
    return RolloutSchedule(**vars(counted), seed=train.seed)

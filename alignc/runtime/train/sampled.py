"""Rows that the policy makes itself: prompts in the order of a schedule, and a rollout of answers to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from ...contract.job import Job
from ..data import Counts, settings_from_job
from ..data.prompts import PromptSet, load_prompts
from ..ranks.run import Run
from ..ranks.world import World
from ..rollout.answers import sampling_of
from ..rollout.held_out import EvalPrompts, evaluate_answers, held_out_answers
from ..rollout.log_probs import initial_policy
from ..rollout.roll import Rollout, RolloutSetup, roll
from ..rollout.rollout import open_reward_sources, scoring_pieces
from ..rollout.schedule import RolloutSchedule, schedule_for
from ..rollout.scores import RewardSources
from ..samplers.sampler import LocalSampler, open_sampler
from ..scoring.context import Context
from ..scoring.objective import SourceBatch, SourceObjective
from ..scoring.policy import TrainedPolicy
from .checkpoint import TrainerState
from .row_source import TrainStep

__all__ = ["SampledRows", "load_sampled"]


@dataclass(frozen=True, eq=False)
class SampledRows:
    """Prompts, their schedule, and the rollout of answers that the steps of the moment train on.

    ``job`` is the job as if this were its only source. A policy to sample from comes with `attached`.
    """

    job: Job
    objective: SourceObjective
    prompts: PromptSet
    eval_prompts: PromptSet
    schedule: RolloutSchedule
    reward_sources: RewardSources
    setup: RolloutSetup | None = None
    held_out: EvalPrompts | None = None
    rollout: Rollout | None = None

    @property
    def counts(self) -> Counts:
        """The number of prompts that were read, kept, refused and cut."""
        return self.prompts.counts

    @property
    def held_out_size(self) -> int:
        """The number of held-out prompts."""
        return len(self.eval_prompts)

    def steps(self, state: TrainerState) -> Iterator[TrainStep]:
        """Yield the steps that follow a state, rollout by rollout."""
        for rollout in range(state.rollout + 1, self.schedule.rollouts + 1):
            numbers = [number for number, _ in self.schedule.steps(rollout)]
            for number in numbers:
                epoch = self.schedule.epoch_after(rollout, number)
                yield TrainStep(number, epoch, numbers[0] - 1, numbers[-1] - number, rollout)

    def attached(self, context: Context, policy: TrainedPolicy, saved: Path | None) -> SampledRows:
        """Open the sampler of a policy, and let the initial policy answer the held-out prompts to compare with."""
        job, run = self.job, context.run
        folder, length = job.output_dir / ".sampler", job.spec.train.max_length
        sampler = open_sampler(job.prompts.sampler, policy.model, folder=folder, max_length=length)
        run.resources.callback(sampler.close)
        sampling = sampling_of(job, context.tokenizer)
        setup = RolloutSetup(job, self.objective, policy, sampler, sampling, self.reward_sources)
        opponents, prompts = None, self.eval_prompts.prompts
        if prompts and self.reward_sources.oracle is not None:
            initial = LocalSampler(initial_policy(context) if saved else policy.model)
            opponents = held_out_answers(context, initial, prompts, sampling, "initial")
        held_out = EvalPrompts(prompts, sampling, self.reward_sources, opponents, policy.reference)
        return dataclasses.replace(self, setup=setup, held_out=held_out)

    def renewed(self, context: Context, step: TrainStep, state: TrainerState) -> SampledRows:
        """Make the rollout that begins with a step."""
        assert self.setup is not None
        assert step.rollout is not None
        prompts = [self.prompts[row] for row in self.schedule.taken(step.rollout)]
        size = self.job.spec.train.per_device_train_batch_size
        pieces = scoring_pieces(self.schedule, step.rollout, size, context.world)
        rollout = roll(
            context,
            self.setup,
            prompts,
            pieces,
            number=step.rollout,
            step=state.step,
            strength=state.strength,
        )
        return dataclasses.replace(self, rollout=rollout)

    def batch(self, step: TrainStep) -> SourceBatch:
        """List the rows of the rollout that a step takes, over all ranks."""
        assert self.rollout is not None
        rows = dict(self.schedule.steps(self.rollout.number))[step.number]
        taken = [self.rollout.rows[row] for row in rows]
        return SourceBatch(self.objective, taken, self.rollout.anchors, self.rollout.metrics)

    def after_rollout(self, state: TrainerState) -> TrainerState:
        """Count the rollout, and take over the strength that the KL controller has for the next one."""
        assert self.rollout is not None
        return dataclasses.replace(state, rollout=self.rollout.number, strength=self.rollout.strength_after)

    def evaluate(self, context: Context, scorer: nn.Module, state: TrainerState) -> Mapping[str, float]:
        """Evaluate the policy's answers to the held-out prompts. The scorer is the bare one of the policy."""
        assert self.setup is not None
        assert self.held_out is not None
        return evaluate_answers(context, self.setup.sampler, self.setup.policy.scorer, self.held_out)


def load_sampled(
    run: Run, world: World, job: Job, objective: SourceObjective, tokenizer: object
) -> SampledRows:
    """Load the prompts of a source and open its reward sources, ``job`` being the job as if it were the only one."""
    settings, options = settings_from_job(job).of_source(objective.source), run.options
    room = job.prompts.max_new_tokens
    prompts = load_prompts(settings, tokenizer, which="train", limit=options.limit, room=room)
    eval_prompts = load_prompts(settings, tokenizer, which="eval", limit=options.limit, room=room)
    schedule = schedule_for(job, len(prompts), world.size, options.max_steps)
    reward_sources = open_reward_sources(job, world.device, run.resources)
    return SampledRows(job, objective, prompts, eval_prompts, schedule, reward_sources)

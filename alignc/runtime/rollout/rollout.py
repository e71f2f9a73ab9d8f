"""The parts of a rollout that concern its steps: the micro-batches it is scored in, its records, and leaving it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch

from ...contract.job import Job
from ...contract.models import INITIAL
from ..data.batches import micro_batches
from ..data.settings import settings_from_job
from ..data.template import Template
from ..ranks.run import halt
from ..ranks.world import World
from ..reward import allowed_names, build_oracle, build_reward
from ..scoring.context import Context
from .answers import Answers
from .record import Record
from .schedule import RolloutSchedule
from .scores import AnswerScores, RewardSources

__all__ = [
    "leave_rollout",
    "open_reward_sources",
    "passes_multiple",
    "records_of",
    "scoring_pieces",
    "wants_reference",
]

PATIENCE = 20
"""Seconds that a signal may wait for the rest of a rollout: schedulers give a job about half a minute."""


def open_reward_sources(job: Job, device: torch.device, resources: ExitStack) -> RewardSources:
    """Build the job's reward and oracle, which ``resources`` closes. Every rank has its own."""
    data, allowed = job.prompts, allowed_names()
    reward = oracle = None
    template = Template(
        None, data.chat_template_kwargs, data.chat_template_date, settings_from_job(job).date_record
    )
    options: dict[str, Any] = {"allowed": allowed, "device": device, "template": template}
    if data.reward is not None:
        reward = resources.enter_context(build_reward(data.reward, **options))
    if data.oracle is not None:
        oracle = resources.enter_context(build_oracle(data.oracle, **options))
    return RewardSources(reward, oracle, data.missing_eos_reward)


def wants_reference(job: Job) -> bool:
    """Tell whether a reference is asked for: by loss or reward, by an opponent, or by evaluation for its KL."""
    data = job.prompts
    return INITIAL in job.needs.anchors or data.mixture is not None or data.eval is not None


def scoring_pieces(schedule: RolloutSchedule, rollout: int, size: int, world: World) -> list[list[int]]:
    """List the micro-batches that this rank will first train on, to score the rollout's rows in.

    A row's last bits depend on the rows beside it: scored so, the first step finds the very same numbers.
    """
    steps = math.ceil(schedule.prompts_in(rollout) / schedule.size)
    return [
        piece
        for rows in schedule.minibatches(rollout)[:steps]
        for piece in micro_batches(rows, size, world.rank, world.size)
    ]


def passes_multiple(before: int, now: int, every: int | None) -> bool:
    """Tell whether a multiple of ``every`` lies behind ``before`` and not behind ``now``."""
    return bool(every) and now // (every or 1) > before // (every or 1)


def leave_rollout(context: Context, left: int, seconds: float) -> None:
    """Stop in the midst of a rollout where a signal came and its ``left`` steps would take too long.

    A run can be saved at the end of a rollout, not within it: a rollout that is close to its end is finished, another
    one is done again.
    """
    run, world = context.run, context.world
    if world.agree(run.stop.signum) and left and world.agree(math.ceil(left * seconds)) > PATIENCE:
        halt(run, world, format_saved(run.step))


def format_saved(step: int) -> str:
    """Name the last step that is safe on disk, for a run that ends in the midst of a rollout."""
    again = "the unfinished rollout will be repeated"
    return f"step {step} is saved, {again}" if step else f"no checkpoint was due yet, {again}"


def records_of(number: int, step: int, answers: Sequence[Answers], scores: AnswerScores) -> Iterator[Record]:
    """Write the answers of a rollout for `rollouts.jsonl`."""
    for place, each in enumerate(answers):
        for at, sample in enumerate(each.samples):
            yield Record(
                rollout=number,
                step=step,
                row=each.prompt.row,
                sample=at,
                origin=sample.origin,
                prompt=sample.prompt,
                completion=sample.completion,
                ended=sample.ended,
                parts={name: part[place][at] for name, part in scores.parts.items()},
                **scores_at(scores, place, at),
            )


def scores_at(scores: AnswerScores, place: int, at: int) -> dict[str, Any]:
    """Give the scores of an answer by their names in a record."""
    numbers = {"reward": scores.rewards, "win_rate": scores.win_rates}
    return {name: values[place][at] for name, values in numbers.items() if values}

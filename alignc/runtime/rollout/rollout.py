"""What an online job does between its optimizer steps: who judges, what stays beside the policy, what a rollout is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from ...contract.job import Job
from ..data.batches import micro_batches
from ..data.example import Example
from ..ranks.run import Run, halt
from ..ranks.world import World
from ..reward import allowed_names, build_oracle, build_reward
from ..scoring.micro import Anchors
from .answers import Answers
from .record import Record
from .schedule import Schedule
from .scores import Judge, Verdicts

__all__ = [
    "Rollout",
    "judge_of",
    "leave_rollout",
    "passes_multiple",
    "records_of",
    "scoring_pieces",
    "wants_reference",
]

PATIENCE = 20
"""Seconds that a signal may wait for the rest of a rollout: schedulers give a job about half a minute."""


@dataclass(frozen=True, eq=False)
class Rollout:
    """The rows of a rollout, their anchors by place, and what its steps log beside their own values."""

    rows: Sequence[Example]
    anchors: Anchors
    metrics: dict[str, float]


def judge_of(job: Job, device: torch.device, held: ExitStack) -> Judge:
    """Build the job's reward and oracle, which ``held`` closes. Every rank has its own."""
    data, allowed = job.spec.data, allowed_names()
    reward = oracle = None
    if data.reward is not None:
        reward = held.enter_context(build_reward(data.reward, allowed=allowed, device=device))
    if data.oracle is not None:
        oracle = held.enter_context(build_oracle(data.oracle, allowed=allowed, device=device))
    return Judge(reward, oracle, data.missing_eos_reward)


def wants_reference(job: Job) -> bool:
    """Tell whether a reference is asked for: by loss or reward, by an opponent, or by evaluation for its KL."""
    mixture = (job.spec.data.opponent or {}).get("kind") == "mixture"
    return "initial" in job.plan.anchors or mixture or job.spec.data.eval is not None


def scoring_pieces(schedule: Schedule, rollout: int, size: int, world: World) -> list[list[int]]:
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


def leave_rollout(run: Run, world: World, left: int, seconds: float) -> None:
    """Stop in the midst of a rollout where a signal came and its ``left`` steps would take too long.

    A rollout's end can be saved, its midst cannot: what is close to its end is brought there, the rest is done again.
    """
    if world.agree(run.stop.signum) and left and world.agree(math.ceil(left * seconds)) > PATIENCE:
        halt(run, world, saved_word(run.step))


def saved_word(step: int) -> str:
    """Say what of a run is safe on disk."""
    again = "the rollout that was under way will be done again"
    return f"step {step} is saved, {again}" if step else f"no checkpoint was due yet, {again}"


def records_of(number: int, step: int, answers: Sequence[Answers], verdicts: Verdicts) -> Iterator[Record]:
    """Write a rollout's answers for `rollouts.jsonl`."""
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
                parts={name: part[place][at] for name, part in verdicts.parts.items()},
                **worth(verdicts, place, at),
            )


def worth(verdicts: Verdicts, place: int, at: int) -> dict[str, Any]:
    """Give what is known of an answer's worth, by name."""
    known = {"reward": verdicts.rewards, "win_rate": verdicts.win_rates}
    return {name: values[place][at] for name, values in known.items() if values}

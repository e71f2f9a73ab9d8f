"""The sources of a job: loaded, given their anchors or a policy to sample from, and counted out in steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from ...contract.failure import Failure
from ..base.console import say
from ..data import Counts
from ..data.example import Example
from ..ranks.run import Run, halt
from ..ranks.world import World
from ..scoring.anchors import anchors_of
from ..scoring.context import Context
from ..scoring.objective import objectives_of
from ..scoring.policy import TrainedPolicy
from .checkpoint import TrainerState
from .given import GivenRows, load_given
from .row_source import Evaluated, RowSource, TrainStep
from .sampled import SampledRows, load_sampled

__all__ = [
    "all_counts",
    "attached",
    "evaluate_sources",
    "first_rows",
    "load_sources",
    "sampled_among",
    "steps_of",
    "total_steps",
    "with_anchors",
]


def load_sources(run: Run, world: World, tokenizer: Any, loss: ModuleType) -> list[RowSource]:
    """Load the rows or the prompts of every source, each with its own objective of `loss.py`.

    Failure E806 where two sources are sampled: a step follows the rollouts of one.
    """
    job, options, sources = run.job, run.options, list[RowSource]()
    for part, objective in zip(job.parts or (job,), objectives_of(job, loss), strict=True):
        if part.spec.data.online:
            sources.append(load_sampled(run, world, part, objective, tokenizer))
        else:
            given = load_given(part, objective, tokenizer, world.size, options.limit, options.max_steps)
            if world.main and given.rows.unread:
                say(f"{part.rows.source}: not read: {', '.join(given.rows.unread)}")
            sources.append(given)
    if sum(isinstance(source, SampledRows) for source in sources) > 1:
        raise Failure("E806", "a job samples the rows of one source at most; this one has several")
    halt(run, world)
    steps = total_steps(sources)
    return [source.until(steps) if isinstance(source, GivenRows) else source for source in sources]


def sampled_among(sources: Sequence[RowSource]) -> SampledRows | None:
    """Find the source whose rows are sampled."""
    return next((source for source in sources if isinstance(source, SampledRows)), None)


def first_rows(sources: Sequence[RowSource], count: int = 2) -> list[Example]:
    """Take a few rows of the sources, for the probe; a prompt stands for its own response."""
    rows = list[Example]()
    for source in sources:
        if isinstance(source, GivenRows):
            rows += [source.rows[place] for place in range(min(count, len(source.rows)))]
        elif isinstance(source, SampledRows):
            prompts = [source.prompts[place] for place in range(min(count, len(source.prompts)))]
            rows += [Example(p.row, p.origin, p.ids, (p.ids,)) for p in prompts]
    return rows[:count]


def longest(sources: Sequence[RowSource]) -> GivenRows:
    """Find the given source with the most rows, the first of them."""
    given = [source for source in sources if isinstance(source, GivenRows)]
    return max(given, key=lambda source: (len(source.rows), -source.objective.source))


def total_steps(sources: Sequence[RowSource]) -> int:
    """Count the steps of the run."""
    sampled = sampled_among(sources)
    return sampled.schedule.total_steps if sampled else longest(sources).order.total_steps


def steps_of(sources: Sequence[RowSource], state: TrainerState) -> Iterator[TrainStep]:
    """Yield the steps that follow a state. Rollouts count them where rows are sampled, else the longest source does.

    The other sources begin a new pass, in a new order, whenever one is through.
    """
    sampled = sampled_among(sources)
    if sampled is not None:
        yield from sampled.steps(state)
        return
    order = longest(sources).order
    for number in range(state.step + 1, order.total_steps + 1):
        yield TrainStep(number, order.epoch_after(number), before=number - 1)


def with_anchors(
    context: Context, sources: Sequence[RowSource], model: nn.Module, saved: Path | None, state: TrainerState
) -> tuple[list[RowSource], TrainerState]:
    """Give the given rows their anchors, computed once or read from the cache; the state keeps the cache's key.

    A run that starts anew is its own reference: ``model`` then scores the rows, before its first update.
    """
    anchored = [s for s in sources if isinstance(s, GivenRows) and s.objective.needs.anchors]
    plans = [source.objective.needs.anchors for source in anchored]
    names = plans[0] if len(sources) == len(plans) == 1 else sorted({name for own in plans for name in own})
    parts = [rows.examples for source in anchored for rows in (source.rows, source.held_out)]
    anchors, key = anchors_of(context, names, parts, None if saved else model, state.reference)
    pairs = iter(zip(anchors[::2], anchors[1::2], strict=True))
    filled = [
        s.with_anchors(*next(pairs)) if isinstance(s, GivenRows) and s in anchored else s for s in sources
    ]
    return filled, dataclasses.replace(state, reference=key)


def attached(
    context: Context, sources: Sequence[RowSource], policy: TrainedPolicy, saved: Path | None
) -> list[RowSource]:
    """Let the sources that sample their rows sample them from a policy."""
    return [s.attached(context, policy, saved) if isinstance(s, SampledRows) else s for s in sources]


def all_counts(sources: Sequence[RowSource]) -> Counts:
    """Add up the counts of the rows of all sources."""
    counts = [dataclasses.astuple(source.counts) for source in sources]
    return Counts(*(sum(column) for column in zip(*counts, strict=True)))


def evaluate_sources(
    context: Context, sources: Sequence[Evaluated], scorer: nn.Module, state: TrainerState
) -> dict[str, float]:
    """Evaluate every source that has held-out rows or prompts. A signal interrupts.

    The loss of several sources is the sum of their losses, and known where every one has held-out rows.
    """
    values: dict[str, float] = {}
    for source in sources:
        if source.held_out_size:
            values |= source.evaluate(context, scorer, state)
    names = [f"eval_{source.objective.name_of_loss()}" for source in sources]
    if all(name in values for name in names):
        values = {"eval_loss": sum(values[name] for name in names), **values}
    return values

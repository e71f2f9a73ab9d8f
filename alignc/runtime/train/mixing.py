"""Several sources of rows in one step: a global batch of each, its own loss on it, and their sum."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from ...contract.job import Job
from ..base.seeds import derive
from ..data import Counts, Dataset, load_examples, settings_from_job
from ..data.batches import Sampler, sampler_for
from ..data.example import Example
from ..ranks.world import World
from ..scoring.micro import Anchors, BatchLayout, Found
from ..scoring.statistics import NOTHING, Known, RowStatistics, Seen, statistics_of
from .evaluate import Loss, evaluate

__all__ = [
    "Part",
    "all_counts",
    "coupled",
    "evaluate_parts",
    "grounded",
    "load_parts",
    "longest",
    "named",
    "with_anchors",
]


@dataclass(frozen=True)
class Part:
    """One source: its rows and their order, the loss over them, and what else that loss reads."""

    number: int
    """Sources count from 1."""
    job: Job
    """The job as if this were its only source."""
    loss: Loss
    statistics: RowStatistics | None
    rows: Dataset
    held_out: Dataset
    sampler: Sampler
    anchors: Anchors = field(default_factory=dict)
    held_out_anchors: Anchors = field(default_factory=dict)

    def batch(self, step: int) -> list[Example]:
        """List the rows that a step takes of this source, over all ranks."""
        return [self.rows[row] for row in self.sampler.batch(step)]


def load_parts(
    job: Job,
    losses: Sequence[ModuleType],
    tokenizer: Any,
    world: int,
    limit: int | None,
    max_steps: int | None,
) -> list[Part]:
    """Load every source's rows. Steps are counted by the source with the most; each has an order of its own."""
    parts = []
    for number, (own, module) in enumerate(zip(job.parts, losses, strict=True), 1):
        settings = settings_from_job(own)
        if number > 1 and settings.quarantine:
            settings = dataclasses.replace(settings, quarantine=numbered(settings.quarantine, number))
        rows = load_examples(settings, tokenizer, which="train", limit=limit)
        held_out = load_examples(settings, tokenizer, which="eval", limit=limit)
        sampler = sampler_for(job.spec.train, len(rows), world, max_steps)
        sampler = dataclasses.replace(sampler, seed=derive(sampler.seed, "source", number))
        statistics = module.statistics if own.plan.statistics else None
        parts.append(Part(number, own, module.loss, statistics, rows, held_out, sampler))
    steps = longest(parts).sampler.total_steps
    return [dataclasses.replace(p, sampler=dataclasses.replace(p.sampler, total_steps=steps)) for p in parts]


def numbered(path: str, number: int) -> str:
    """Number a file: `quarantine.jsonl`, `quarantine_2.jsonl`."""
    stem, dot, suffix = path.rpartition(".")
    return f"{stem}_{number}{dot}{suffix}"


def longest(parts: Sequence[Part]) -> Part:
    """Find the source with the most rows, the first of them: epochs are its own."""
    return max(parts, key=lambda part: (len(part.rows), -part.number))


def with_anchors(parts: Sequence[Part], found: Sequence[Anchors]) -> list[Part]:
    """Give each part its anchors: of those that have any, for training rows and held-out rows in turn."""
    each = iter(found)
    return [
        dataclasses.replace(part, anchors=next(each), held_out_anchors=next(each))
        if part.job.plan.anchors
        else part
        for part in parts
    ]


def all_counts(parts: Sequence[Part]) -> Counts:
    """Add up what became of the rows."""
    counts = [dataclasses.astuple(part.rows.counts) for part in parts]
    return Counts(*(sum(column) for column in zip(*counts, strict=True)))


def coupled(
    part: Part,
    examples: Sequence[Example],
    mine: Sequence[Sequence[int]],
    scorer: nn.Module,
    layout: BatchLayout,
    world: World,
    seen: Seen,
    *,
    each: Callable[[], object],
) -> tuple[Known, Seen]:
    """Compute what couples the rows of one source's global batch; `seen` holds the running means of all sources."""
    if part.statistics is None:
        return NOTHING, seen
    known, own = statistics_of(
        part.job.plan,
        part.statistics,
        examples,
        mine,
        scorer,
        layout,
        part.anchors,
        world,
        own_seen(part, seen),
        each=each,
    )
    return known, {**(seen or {}), **{f"{part.number}/{name}": value for name, value in (own or {}).items()}}


def own_seen(part: Part, seen: Seen) -> Seen:
    """Pick one source's running means."""
    head = f"{part.number}/"
    return {n.removeprefix(head): value for n, value in (seen or {}).items() if n.startswith(head)} or None


def grounded(share: Tensor, found: Found, part: Part) -> Tensor:
    """Tie outputs that this source's loss does not read to its share, times 0: ranks wait for every gradient."""
    if not isinstance(found, Mapping):
        return share
    unread = found.keys() - {"logps", *part.job.plan.outputs}
    return share + sum(found[name].double().sum() * 0.0 for name in sorted(unread))


def named(part: Part, share: Tensor, metrics: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name a source's own part of the loss, where its metrics would call it the loss."""
    rest = {name: value for name, value in metrics.items() if name != "loss"}
    return {f"source_{part.number}/loss": share.detach(), **rest}


def evaluate_parts(
    parts: Sequence[Part],
    scorer: nn.Module,
    layout: BatchLayout,
    world: World,
    each: Callable[[], bool],
    seen: Seen,
) -> dict[str, float] | None:
    """Evaluate every source that has held-out rows; None where `each` says stop. The sum needs them of all."""
    values: dict[str, float] = {}
    for part in parts:
        if not len(part.held_out):
            continue
        own = evaluate(
            part.job,
            part.loss,
            scorer,
            part.held_out.examples,
            part.held_out_anchors,
            layout,
            world,
            each,
            part.statistics,
            own_seen(part, seen),
        )
        if own is None:
            return None
        values[f"eval_source_{part.number}/loss"] = own.pop("eval_loss")
        values |= own
    if all(len(part.held_out) for part in parts):
        total = sum(values[f"eval_source_{part.number}/loss"] for part in parts)
        values = {"eval_loss": total, **values}
    return values

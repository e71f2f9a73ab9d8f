"""One optimizer step: its micro-batches, the share of the loss that each has, and their sum over all ranks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from ..base.seeds import derive
from ..data.batches import micro_batches
from ..data.example import Example
from ..ranks.world import World
from ..scoring.context import Context
from ..scoring.micro import Anchors, ScorerOutputs, loss_inputs, select_responses, totals_of
from ..scoring.objective import SourceBatch, SourceObjective
from ..scoring.statistics import BatchStatistics, RunningSums, batch_statistics
from .guards import Evidence, evidence_of
from .row_source import TrainStep

__all__ = [
    "MicroBatch",
    "MicroLoss",
    "StepSums",
    "loss_of",
    "micro_batches_of",
    "micro_batches_of_source",
    "pieces_of",
    "row_of",
    "statistics_of",
]


@dataclass(frozen=True, eq=False)
class MicroBatch:
    """The rows that this rank scores in one forward, and all that their loss reads beside the outputs of it."""

    objective: SourceObjective
    rows: Sequence[Example]
    anchors: Anchors
    totals: Mapping[str, float]
    statistics: Mapping[str, Tensor]
    weight: float
    """1, or 0 where this rank's rows ran out: it goes along with a row that counts nothing."""
    seed: int | None = None
    """The seed of dropout in this forward; None where there is no dropout, as in evaluation."""
    last: bool = False
    """Whether it is the last one of the step."""


@dataclass(frozen=True, eq=False)
class MicroLoss:
    """A micro-batch's share of the loss of the global batch, and of each metric, beside the scorer's outputs."""

    share: Tensor
    metrics: Mapping[str, Tensor]
    outputs: ScorerOutputs


def statistics_of(
    context: Context, batches: Sequence[SourceBatch], scorer: nn.Module, running: RunningSums
) -> tuple[list[BatchStatistics], RunningSums]:
    """Compute the statistics of each source's global batch, and the running sums with these batches added."""
    size, statistics = context.job.spec.train.per_device_train_batch_size, []
    for batch in batches:
        own, running = batch_statistics(context, batch, pieces_of(context, batch, size), scorer, running)
        statistics.append(own)
    return statistics, running


def micro_batches_of(
    context: Context, batches: Sequence[SourceBatch], statistics: Sequence[BatchStatistics], step: int
) -> list[MicroBatch]:
    """List this rank's micro-batches of a step, those of one source after those of another: as many on every rank.

    Two ranks, micro-batches of 2, a batch of 5 rows of one source and of 3 of another: rank 0 gets the rows 0 1, 4 and
    0 1 of the other, rank 1 the rows 2 3, none (weight 0) and 2 of the other.
    """
    train, rank = context.job.spec.train, context.world.rank
    micros = [
        micro
        for batch, own in zip(batches, statistics, strict=True)
        for micro in micro_batches_of_source(context, batch, own, train.per_device_train_batch_size)
    ]
    return [
        replace(
            micro,
            seed=derive(train.seed, "dropout", step, number, rank),
            last=number == len(micros) - 1,
        )
        for number, micro in enumerate(micros)
    ]


def micro_batches_of_source(
    context: Context, batch: SourceBatch, statistics: BatchStatistics, size: int
) -> Iterator[MicroBatch]:
    """Yield this rank's micro-batches of one source; where its rows run out, the first row at weight 0."""
    totals, device = totals_of(batch.objective.needs, batch.rows), context.world.device
    for piece in pieces_of(context, batch, size):
        yield MicroBatch(
            batch.objective,
            rows=[batch.rows[place] for place in piece or [0]],
            anchors=batch.anchors,
            totals=totals,
            statistics=statistics.of_rows(piece or [0], device),
            weight=1.0 if piece else 0.0,
        )


def pieces_of(context: Context, batch: SourceBatch, size: int) -> list[list[int]]:
    """Split the rows of a global batch, by place, into the micro-batches of this rank."""
    return micro_batches(range(len(batch.rows)), size, context.world.rank, context.world.size)


def loss_of(context: Context, micro: MicroBatch, scorer: nn.Module) -> MicroLoss:
    """Score a micro-batch, and compute its share of the loss of its source's global batch.

    The scorer gives log p of every response token [rows, responses, T], or several outputs by name.
    """
    needs, layout = micro.objective.needs, context.layout
    if micro.seed is not None:
        torch.manual_seed(micro.seed)
    batch = layout.batch(select_responses(needs, micro.rows, needs.loss_responses))
    with layout.precision():
        outputs = scorer(batch)
    inputs = loss_inputs(needs, micro.rows, batch, outputs, micro.anchors, needs.loss_responses)
    share, metrics = micro.objective.loss({**inputs, **micro.statistics}, dict(micro.totals))
    share = with_unread(share, outputs, needs.outputs)
    return MicroLoss(share, with_name(micro.objective, share, metrics), outputs)


def with_unread(share: Tensor, outputs: ScorerOutputs, read: Sequence[str]) -> Tensor:
    """Tie outputs that this source's loss does not read to its share, times 0: ranks wait for every gradient."""
    if not isinstance(outputs, Mapping):
        return share
    unread = outputs.keys() - {"logps", *read}
    return share + sum(outputs[name].double().sum() * 0.0 for name in sorted(unread))


def with_name(objective: SourceObjective, share: Tensor, metrics: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name the part that one source of several has in the loss, where its metrics would call it the loss."""
    if not objective.source:
        return dict(metrics)
    rest = {name: value for name, value in metrics.items() if name != "loss"}
    return {objective.name_of_loss(): share.detach(), **rest}


@dataclass(frozen=True)
class StepSums:
    """The sums over a step's micro-batches: the loss, every metric, and the evidence of rows that are not finite."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    evidence: list[Evidence] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def add(self, micro: MicroBatch, result: MicroLoss) -> None:
        """Add the shares of a micro-batch."""
        for name, value in ({"loss": result.share} | dict(result.metrics)).items():
            self.sums[name] = self.sums.get(name, 0.0) + (value * micro.weight).detach().double()
        self.evidence.append(evidence_of(micro.rows, result.outputs, result.share))

    def over_ranks(self, world: World) -> dict[str, float]:
        """Add the shares of all ranks, in one exchange: the values of the global batch, on every rank."""
        total = world.sum(torch.stack(list(self.sums.values())))
        return dict(zip(self.sums, total.tolist(), strict=True))


def row_of(step: TrainStep, batches: Sequence[SourceBatch], values: Mapping[str, float]) -> dict[str, float]:
    """Begin the row that a step logs: its place in the run, its values, and those of the rollout it is of."""
    place: dict[str, float] = {"step": step.number, "epoch": step.epoch}
    if step.rollout is not None:
        place["rollout"] = step.rollout
    return {**place, **values, **{n: value for batch in batches for n, value in batch.metrics.items()}}

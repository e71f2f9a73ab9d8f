"""Evaluation on held-out rows, and what follows from it: the best checkpoint, and stopping early."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ...contract.failure import Failure
from ...contract.job import Job, Train
from ..data.batches import micro_batches
from ..data.example import Example
from ..ranks.world import World
from ..scoring.micro import Anchors, BatchLayout, loss_inputs, select_responses, totals_of
from ..scoring.statistics import NOTHING, RowStatistics, Seen, statistics_of
from .checkpoint import TrainerState

__all__ = ["Loss", "add", "evaluate", "global_values", "judge", "rises"]

Loss = Callable[[dict[str, Tensor], dict[str, float]], tuple[Tensor, dict[str, Tensor]]]


def add(sums: dict[str, Tensor], share: Tensor, metrics: Mapping[str, Tensor]) -> None:
    """Add a micro-batch's shares to a step's sums."""
    for name, value in ({"loss": share} | dict(metrics)).items():
        sums[name] = sums.get(name, 0.0) + value.detach().double()


def global_values(sums: Mapping[str, Tensor], world: World) -> dict[str, float]:
    """Add shares over all ranks, in one exchange; every rank gets all values."""
    total = world.sum(torch.stack(list(sums.values())))
    return dict(zip(sums, total.tolist(), strict=True))


def evaluate(
    job: Job,
    loss: Loss,
    scorer: nn.Module,
    examples: Sequence[Example],
    anchors: Anchors,
    layout: BatchLayout,
    world: World,
    each: Callable[[], bool],
    statistics: RowStatistics | None = None,
    seen: Seen = None,
) -> dict[str, float] | None:
    """Give the loss and metrics over all held-out rows, named ``eval_*``; None where ``each`` says stop."""
    size = job.spec.train.per_device_eval_batch_size
    totals = totals_of(job.plan, examples)
    sums: dict[str, Tensor] = {}
    training = scorer.training
    scorer.eval()
    try:
        mine = micro_batches(range(len(examples)), size, world.rank, world.size)
        known, plan = NOTHING, job.plan
        if statistics is not None:
            known, _ = statistics_of(
                plan,
                statistics,
                examples,
                mine,
                scorer,
                layout,
                anchors,
                world,
                seen,
                each=each,
                learning=False,
            )
        for rows in mine:
            if world.agree(not each()):
                return None
            taken = [examples[row] for row in rows] or [examples[0]]
            batch = layout.batch(select_responses(plan, taken, plan.loss_responses))
            with torch.no_grad(), layout.precision():
                found = scorer(batch)
            inputs = loss_inputs(plan, taken, batch, found, anchors, plan.loss_responses)
            share, metrics = loss(inputs | known.of(rows or [0], batch.mask.device), totals)
            weight = 1.0 if rows else 0.0  # a rank whose rows ran out goes along with one that counts nothing
            add(sums, share * weight, {name: value * weight for name, value in metrics.items()})
    finally:
        scorer.train(training)
    return {f"eval_{name}": value for name, value in global_values(sums, world).items()}


def rises(train: Train) -> bool:
    """Tell whether a higher value of the chosen metric is better: losses fall, the rest rises."""
    if train.greater_is_better is not None:
        return train.greater_is_better
    return not (train.metric_for_best_model or "loss").endswith("loss")


def chosen_value(values: Mapping[str, float], metric: str) -> float:
    """Look the chosen metric up, with or without its `eval_`."""
    name = metric if metric.startswith("eval_") else f"eval_{metric}"
    if name not in values:
        raise Failure(
            "E806",
            f"`train.metric_for_best_model` is `{metric}`, which this objective does not compute",
            help=f"one of {', '.join(sorted(each.removeprefix('eval_') for each in values))}",
        )
    return values[name]


def judge(state: TrainerState, values: Mapping[str, float], train: Train) -> TrainerState:
    """Note the best evaluation so far, and whether patience is at its end."""
    metric = train.metric_for_best_model
    if metric is None:
        return state
    value = chosen_value(values, metric)
    best = state.best
    better = best is None or (value > best["value"] if rises(train) else value < best["value"])
    if better:
        return dataclasses.replace(state, best={"step": state.step, "value": value}, stale=0)
    stale = state.stale + 1
    patience = train.early_stopping_patience
    return dataclasses.replace(state, stale=stale, stopped_early=patience is not None and stale >= patience)

"""Evaluation on held-out rows, and its consequences: the best checkpoint, and stopping early."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import nn

from ...contract.failure import Failure
from ...contract.job import Train
from ..ranks.run import halt
from ..scoring.context import Context
from ..scoring.objective import SourceBatch
from ..scoring.statistics import RunningSums, batch_statistics
from .checkpoint import TrainerState
from .step import StepSums, loss_of, micro_batches_of_source, pieces_of

__all__ = ["evaluate", "note_best", "rises"]


def evaluate(
    context: Context, batch: SourceBatch, scorer: nn.Module, running: RunningSums = None
) -> dict[str, float]:
    """Give the loss and metrics over all held-out rows of one source, named ``eval_*``. A signal interrupts."""
    size = context.job.spec.train.per_device_eval_batch_size
    pieces, sums = pieces_of(context, batch, size), StepSums()
    training = scorer.training
    scorer.eval()
    try:
        statistics, _ = batch_statistics(context, batch, pieces, scorer, running, update=False)
        for micro in micro_batches_of_source(context, batch, statistics, size):
            context.run.pulse.beat()
            halt(context.run, context.world)
            with torch.no_grad():
                sums.add(micro, loss_of(context, micro, scorer))
    finally:
        scorer.train(training)
    return {f"eval_{name}": value for name, value in sums.over_ranks(context.world).items()}


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
            f"`train.metric_for_best_model` is `{metric}`, but this objective does not compute this metric",
            help=f"choose one of {', '.join(sorted(each.removeprefix('eval_') for each in values))}",
        )
    return values[name]


def note_best(state: TrainerState, values: Mapping[str, float], train: Train) -> TrainerState:
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

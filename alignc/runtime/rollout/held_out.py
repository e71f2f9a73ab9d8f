"""Evaluation of an online job on held-out prompts: the scores of the policy's answers, and how far it has gone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from ...contract.models import INITIAL, ROLLOUT
from ..base.seeds import derive
from ..data.batches import micro_batches
from ..data.example import Example
from ..data.prompts import Prompt
from ..samplers.sampler import Sampler
from ..samplers.sampling import Sampling
from ..scoring.context import Context
from ..scoring.micro import Anchors
from .answers import Answers, sample_answers
from .log_probs import ReferenceModel, score_on_ranks
from .metrics import answer_metrics, mean_kl
from .scores import RewardSources, score_answers

__all__ = ["EvalPrompts", "evaluate_answers", "held_out_answers"]


@dataclass(frozen=True)
class EvalPrompts:
    """The held-out prompts, how they are answered, and the reward sources that score the answers.

    ``opponents`` are the initial policy's own answers, where an oracle compares; ``reference`` is the model that the
    KL is taken to.
    """

    prompts: Sequence[Prompt]
    sampling: Sampling
    reward_sources: RewardSources
    opponents: Sequence[Answers] | None = None
    reference: ReferenceModel | None = None


def held_out_answers(
    context: Context, sampler: Sampler, prompts: Sequence[Prompt], sampling: Sampling, whose: str
) -> list[Answers]:
    """Sample one answer to each held-out prompt as in training, from draws that are the same each time.

    ``whose`` keeps the draws of two models apart: a comparison needs independent answers.
    """
    one = dataclasses.replace(sampling, completions=1)
    seed = derive(context.job.spec.train.seed, "held out", whose)
    return sample_answers(context, sampler, prompts, one, seed=seed)


def evaluate_answers(
    context: Context, sampler: Sampler, scorer: nn.Module, held_out: EvalPrompts
) -> dict[str, float]:
    """Give the held-out metrics, named ``eval_*``; a signal interrupts, and a reward may fail."""
    answers = held_out_answers(context, sampler, held_out.prompts, held_out.sampling, "policy")
    scores = score_answers(context, held_out.reward_sources, answers, held_out.opponents)
    metrics = answer_metrics(answers, scores)
    metrics.pop("rollout/degenerate_groups", None)
    if held_out.reference is not None:
        metrics["objective/kl"] = kl_of(context, scorer, held_out.reference, answers)
    if scores.win_rates:
        metrics["win_rate"] = float(np.mean(scores.win_rates))
        if not scores.rewards:  # the score would be the same number
            del metrics["objective/scores"]
    return {f"eval_{name}": value for name, value in metrics.items()}


def kl_of(
    context: Context, scorer: nn.Module, reference: ReferenceModel, answers: Sequence[Answers]
) -> float:
    """Estimate the KL to the reference by the policy's own answers, in nat a response."""
    rows = [
        Example(place, each.prompt.origin, each.prompt.ids, each.completions)
        for place, each in enumerate(answers)
    ]
    world, size = context.world, context.job.spec.train.per_device_eval_batch_size
    pieces = micro_batches(range(len(rows)), size, world.rank, world.size)
    own = score_on_ranks(context, scorer, rows, pieces)
    other = score_on_ranks(context, reference.scorer, rows, pieces, reference.within)
    anchors: Anchors = {ROLLOUT: [row["logps"] for row in own], INITIAL: [row["logps"] for row in other]}
    return mean_kl(rows, anchors, [0])

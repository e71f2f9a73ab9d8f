"""Evaluation of an online job on held-out prompts: what the policy's answers are worth, and how far it has gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from ..base.seeds import derive
from ..data.batches import micro_batches
from ..data.example import Example
from ..data.prompts import Prompt
from ..ranks.run import Run
from ..ranks.world import World
from ..samplers.sampler import Sampler
from ..scoring.micro import BatchLayout
from .answers import Answers, answers_of, sampling_of
from .log_probs import Reference, scores_of
from .metrics import answer_metrics, divergence
from .scores import Judge, verdicts_of

__all__ = ["HeldOut", "evaluate_answers", "held_out_answers"]


@dataclass(frozen=True)
class HeldOut:
    """The prompts, who judges, and what the policy is compared with.

    ``opponents`` are the initial policy's own answers, where an oracle compares; ``reference`` is what the KL
    is taken to.
    """

    prompts: Sequence[Prompt]
    judge: Judge
    opponents: Sequence[Answers] | None = None
    reference: Reference | None = None


def held_out_answers(
    run: Run,
    world: World,
    tokenizer: Any,
    sampler: Sampler,
    prompts: Sequence[Prompt],
    layout: BatchLayout,
    whose: str,
) -> list[Answers]:
    """Sample one answer to each held-out prompt as in training, from draws that are the same each time.

    ``whose`` keeps the draws of two models apart: a comparison needs independent answers.
    """
    sampling = sampling_of(run.job, tokenizer, completions=1)
    seed = derive(run.job.spec.train.seed, "held out", whose)
    return answers_of(run, world, tokenizer, sampler, prompts, sampling, layout, seed=seed)


def evaluate_answers(
    run: Run,
    world: World,
    tokenizer: Any,
    sampler: Sampler,
    scorer: nn.Module,
    layout: BatchLayout,
    held_out: HeldOut,
) -> dict[str, float]:
    """Give the held-out metrics, named ``eval_*``; a signal interrupts, and a reward may fail."""
    answers = held_out_answers(run, world, tokenizer, sampler, held_out.prompts, layout, "policy")
    verdicts = verdicts_of(run, world, held_out.judge, answers, held_out.opponents)
    found = answer_metrics(answers, verdicts)
    found.pop("rollout/degenerate_groups", None)
    if held_out.reference is not None:
        found["objective/kl"] = kl_of(run, world, scorer, held_out.reference, answers, layout)
    if verdicts.win_rates:
        found["win_rate"] = float(np.mean(verdicts.win_rates))
        if not verdicts.rewards:  # the score would be the same number
            del found["objective/scores"]
    return {f"eval_{name}": value for name, value in found.items()}


def kl_of(
    run: Run,
    world: World,
    scorer: nn.Module,
    reference: Reference,
    answers: Sequence[Answers],
    layout: BatchLayout,
) -> float:
    """Estimate the KL to the reference by the policy's own answers, in nat a response."""
    rows = [
        Example(place, each.prompt.origin, each.prompt.ids, each.completions)
        for place, each in enumerate(answers)
    ]
    size = run.job.spec.train.per_device_eval_batch_size
    pieces = micro_batches(range(len(rows)), size, world.rank, world.size)
    own = scores_of(run, world, scorer, rows, pieces, layout)
    other = scores_of(run, world, reference.scorer, rows, pieces, layout, reference.within)
    anchors = {"rollout": [each["logps"] for each in own], "initial": [each["logps"] for each in other]}
    return divergence(rows, anchors, [0])

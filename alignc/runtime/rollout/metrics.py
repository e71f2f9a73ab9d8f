"""The metrics of a rollout: rewards, KL, lengths, and how many answers came to their end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ...contract.models import INITIAL, ROLLOUT
from ...contract.needs import LossNeeds
from ...contract.rewards import part_metric
from ..data.example import Example
from ..scoring.micro import Anchors
from .answers import Answers
from .scores import AnswerScores, degenerate

__all__ = ["answer_metrics", "mean_kl", "rollout_metrics"]


def rollout_metrics(
    needs: LossNeeds,
    answers: Sequence[Answers],
    scores: AnswerScores,
    rows: Sequence[Example],
    anchors: Anchors,
    penalties: Tensor | None,
) -> dict[str, float]:
    """Compute the metrics that a rollout's steps log beside their own values.

    `objective/kl` is the mean over responses of the sum over tokens of log π − log reference. It is left out where
    the rows hold answers that were selected: those are no sample of the policy.
    """
    metrics = answer_metrics(answers, scores)
    if penalties is not None and needs.advantage:
        lost = 0.0 - float(penalties.sum()) / sum(len(group.completions) for group in answers)
        paid = float(np.mean(scores.of(needs.advantage.reward)))
        metrics |= {"objective/non_score_reward": lost, "objective/rlhf_reward": paid + lost}
    sampled = sampled_places(needs, len(answers[0].completions))
    if INITIAL in anchors and sampled:
        metrics["objective/kl"] = mean_kl(rows, anchors, sampled)
    return metrics


def sampled_places(needs: LossNeeds, drawn: int) -> list[int]:
    """List the places of a row's responses that are an unselected sample of the policy."""
    if needs.convert == "demonstration":
        return [1]
    if needs.convert == "best_worst" and drawn > 2:
        return []
    return list(range(drawn))


def mean_kl(rows: Sequence[Example], anchors: Anchors, places: Sequence[int]) -> float:
    """Average log π − log reference over responses, each summed over its tokens, in nat."""
    sums = [
        float(np.sum(anchors[ROLLOUT][row.row][at].astype(np.float64) - anchors[INITIAL][row.row][at]))
        for row in rows
        for at in places
    ]
    return float(np.mean(sums))


def answer_metrics(answers: Sequence[Answers], scores: AnswerScores) -> dict[str, float]:
    """Average the numbers of answers that take no model: rewards and their parts, lengths, ends.

    Where there is an oracle alone, a score is a win rate against an opponent.
    """
    metrics: dict[str, float] = {}
    if scores.rewards:
        metrics["objective/scores"] = float(np.mean(scores.rewards))
        metrics |= {part_metric(name): float(np.mean(part)) for name, part in scores.parts.items()}
    elif scores.win_rates and scores.abroad:
        metrics["objective/scores"] = float(np.mean(scores.win_rates))
    if scores.rewards or scores.win_rates:
        metrics["rollout/degenerate_groups"] = float(degenerate(scores.rewards or scores.win_rates))
    metrics["completions/mean_length"] = float(
        np.mean([len(ids) for group in answers for ids in group.completions])
    )
    metrics["completions/ended"] = float(
        np.mean([sample.ended for group in answers for sample in group.samples])
    )
    return metrics

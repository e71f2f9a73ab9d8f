"""Make a rollout: the policy answers prompts, the answers are scored, and weighed rows come of them.

All of it leaves the weights as they are, so that a run that ends meanwhile can save the state before the rollout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...contract.job import Job
from ...contract.models import EMA, INITIAL, PREVIOUS_ITERATE, ROLLOUT
from ...contract.needs import AdaptiveKL
from ...contract.outputs import OUTPUTS, Quantity
from ..base.seeds import derive
from ..data.example import Example
from ..data.prompts import Prompt
from ..samplers.sampler import Sampler
from ..samplers.sampling import Sampling
from ..scoring.context import Context
from ..scoring.micro import Anchors
from ..scoring.objective import OLD_DIVERGENCE, SourceObjective
from ..scoring.outputs import RowValues
from ..scoring.policy import TrainedPolicy
from .answers import Answers, sample_answers
from .kl_controller import next_strength, scale_penalties
from .log_probs import TokenOutputs, score_on_ranks, with_divergences
from .metrics import rollout_metrics
from .record import Record
from .rollout import records_of
from .rows import rows_of
from .scores import AnswerScores, RewardSources, score_answers
from .start import check_start
from .token_columns import mask_of, penalties_of, with_token_columns

__all__ = ["Rollout", "RolloutSetup", "roll"]


@dataclass(frozen=True, eq=False)
class RolloutSetup:
    """All that makes rollouts: the job as if the prompts were its only source, the sampler, the reward sources."""

    job: Job
    objective: SourceObjective
    policy: TrainedPolicy
    sampler: Sampler
    sampling: Sampling
    reward_sources: RewardSources


@dataclass(frozen=True, eq=False)
class Rollout:
    """The rows of a rollout, their anchors by place, and the values that its steps log beside their own."""

    number: int
    rows: Sequence[Example]
    anchors: Anchors
    metrics: Mapping[str, float]
    records: Sequence[Record]
    """The answers, for `rollouts.jsonl`."""
    strength_after: float
    """The factor on the KL in the reward of the next rollout."""


def roll(
    context: Context,
    setup: RolloutSetup,
    prompts: Sequence[Prompt],
    pieces: Sequence[Sequence[int]],
    *,
    number: int,
    step: int,
    strength: float,
) -> Rollout:
    """Sample answers to the prompts of a rollout, score them, and weigh them.

    ``pieces`` are the micro-batches of rows (by place) that this rank will first train on: scored in the same ones,
    the ratios of the first steps are 1 to the last bit. ``step`` counts the steps before the rollout, ``strength`` is
    the factor on the KL in its reward.
    """
    needs = setup.objective.needs
    answers, scores = answer(context, setup, prompts, derive(setup.job.spec.train.seed, "rollout", number))
    rows = rows_of(needs, answers, scores)
    scored, anchors = score(context, setup, rows, pieces)
    if number == 1 and INITIAL in anchors:
        check_start(context.job, anchors[ROLLOUT], anchors[INITIAL], context.layout.computes_in)
    penalties = scale_penalties(
        penalties_of(needs, setup.objective.penalty, anchors, mask_of(rows)), strength
    )
    metrics = rollout_metrics(needs, answers, scores, rows, anchors, penalties)
    adaptive = needs.advantage.adaptive if needs.advantage else None
    if adaptive is not None:
        metrics["objective/kl_coef"] = strength * adaptive.beta
    return Rollout(
        number,
        rows=with_token_columns(needs, rows, scored, scores, penalties),
        anchors=anchors,
        metrics=metrics,
        records=list(records_of(number, step, answers, scores)),
        strength_after=strength_after(setup, strength, metrics, len(rows), adaptive),
    )


def answer(
    context: Context, setup: RolloutSetup, prompts: Sequence[Prompt], seed: int
) -> tuple[list[Answers], AnswerScores]:
    """Sample the answers to the prompts and score them, against a mixture of policy and reference where one plays."""
    answers = sample_answers(context, setup.sampler, prompts, setup.sampling, seed=seed)
    weight, reference = setup.job.prompts.mixture, setup.policy.reference
    if weight is None or reference is None:
        return answers, score_answers(context, setup.reward_sources, answers)
    # The opponent is the geometric mixture of the policy and its reference.
    against = sample_answers(
        context,
        setup.sampler,
        prompts,
        setup.sampling,
        seed=derive(seed, "opponent"),
        mixture=(reference.model, weight),
    )
    return answers, score_answers(context, setup.reward_sources, answers, against)


def score(
    context: Context, setup: RolloutSetup, rows: Sequence[Example], pieces: Sequence[Sequence[int]]
) -> tuple[list[TokenOutputs], Anchors]:
    """Score the rows under the policy as it sampled them, and under each model that it is compared with."""
    policy = setup.policy
    scored = score_on_ranks(context, policy.scorer, rows, pieces)
    own = [row["logps"] for row in scored]
    anchors: dict[str, list[RowValues]] = {ROLLOUT: own, PREVIOUS_ITERATE: own}
    if (reference := policy.reference) is not None:
        others = score_on_ranks(context, reference.scorer, rows, pieces, reference.within)
        anchors[INITIAL] = [row["logps"] for row in others]
    if (average := policy.average) is not None:
        lend = lambda: average.lent(policy.model)  # noqa: E731 - entered anew around each forward
        means = score_on_ranks(context, policy.scorer, rows, pieces, lend)
        anchors[EMA] = [row["logps"] for row in means]
    if setup.objective.reads_old_divergence and reference is not None:
        scored = with_divergences(context, policy.model, reference, scored, rows, pieces)
        stored = OUTPUTS[Quantity.DIVERGENCE].stored
        anchors[OLD_DIVERGENCE] = [row[stored] for row in scored]
    return scored, anchors


def strength_after(
    setup: RolloutSetup,
    strength: float,
    metrics: Mapping[str, float],
    rows: int,
    adaptive: AdaptiveKL | None,
) -> float:
    """Let the KL controller set the factor of the next rollout, where the KL follows a target."""
    if adaptive is None:
        return strength
    responses = rows * setup.job.prompts.completions_per_prompt
    return next_strength(strength, metrics["objective/kl"], responses, adaptive)

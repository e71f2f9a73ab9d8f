"""The scores of answers: rewards, and how often an answer beats others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..data.batches import micro_batches
from ..ranks.shared import shared
from ..reward import Oracle, Reward, win_rates
from ..scoring.context import Context
from .answers import Answers

__all__ = ["AnswerScores", "RewardSources", "against", "degenerate", "score_answers"]

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class RewardSources:
    """A reward or an oracle or both, and the reward of an answer that was cut before its end."""

    reward: Reward | None
    oracle: Oracle | None
    missing_eos_reward: float | None = None


@dataclass(frozen=True)
class AnswerScores:
    """A number for each answer to each prompt, of each kind; empty where nothing asked for that kind.

    ``parts`` are a weighted sum's summands by name. ``abroad`` tells that answers played against others than
    their own group, over which win rates average to ½ whatever the policy does.
    """

    rewards: Sequence[Numbers] = ()
    win_rates: Sequence[Numbers] = ()
    parts: Mapping[str, Sequence[Numbers]] = field(default_factory=dict)
    abroad: bool = False

    def of(self, kind: str) -> Sequence[Numbers]:
        """Give the numbers of a kind, `reward` or `win_rate`."""
        return self.win_rates if kind == "win_rate" else self.rewards


def score_answers(
    context: Context,
    sources: RewardSources,
    answers: Sequence[Answers],
    opponents: Sequence[Answers] | None = None,
) -> AnswerScores:
    """Score all answers, the ranks taking prompts in turn; an answer plays against its own group or ``opponents``."""
    run, world = context.run, context.world
    size = run.job.spec.train.per_device_eval_batch_size
    pieces = micro_batches(range(len(answers)), size, world.rank, world.size)
    rewards: dict[int, dict[str, Numbers]] = {}
    rates: dict[int, Numbers] = {}
    if sources.reward is not None:
        rewards = shared(
            run, world, pieces, payer(sources.reward, answers, sources.missing_eos_reward), "judging"
        )
    if sources.oracle is not None:
        rates = shared(run, world, pieces, player(sources.oracle, answers, opponents), "judging")
    order = range(len(answers))
    names = [name for name in (rewards[0] if rewards else {}) if name]
    return AnswerScores(
        rewards=[rewards[place][""] for place in order] if rewards else (),
        win_rates=[rates[place] for place in order] if rates else (),
        parts={name: [rewards[place][name] for place in order] for name in names},
        abroad=opponents is not None,
    )


def payer(
    reward: Reward, answers: Sequence[Answers], missing: float | None
) -> Callable[[list[int]], dict[int, dict[str, Numbers]]]:
    """Give the work that rewards some prompts' answers: the sum under the name "", the parts under their own."""

    def pay(places: list[int]) -> dict[int, dict[str, Numbers]]:
        samples = [sample for place in places for sample in answers[place].samples]
        scores = reward(samples)
        values = [
            value if missing is None or sample.ended else missing
            for value, sample in zip(scores.values, samples, strict=True)
        ]
        numbers: dict[int, dict[str, Numbers]] = {}
        at = 0
        for place in places:
            end = at + len(answers[place].samples)
            numbers[place] = {name: tuple(part[at:end]) for name, part in scores.parts.items()}
            numbers[place][""] = tuple(values[at:end])
            at = end
        return numbers

    return pay


def player(
    oracle: Oracle, answers: Sequence[Answers], opponents: Sequence[Answers] | None
) -> Callable[[list[int]], dict[int, Numbers]]:
    """Give the work that finds how often some prompts' answers win."""

    def play(places: list[int]) -> dict[int, Numbers]:
        mine = [answers[place] for place in places]
        if opponents is None:
            rates = win_rates(oracle, [group.samples for group in mine])
            return {place: tuple(each) for place, each in zip(places, rates, strict=True)}
        others = [opponents[place] for place in places]
        return dict(zip(places, against(oracle, mine, others), strict=True))

    return play


def against(oracle: Oracle, answers: Sequence[Answers], opponents: Sequence[Answers]) -> list[Numbers]:
    """Give each answer's mean probability of beating the opponents' answers to the same prompt."""
    meetings = [
        (one, other)
        for mine, theirs in zip(answers, opponents, strict=True)
        for one in mine.samples
        for other in theirs.samples
    ]
    chances = iter(oracle(meetings))
    return [
        tuple(sum(next(chances) for _ in theirs.samples) / len(theirs.samples) for _ in mine.samples)
        for mine, theirs in zip(answers, opponents, strict=True)
    ]


def degenerate(numbers: Sequence[Numbers]) -> int:
    """Count the groups of several answers that are all worth the same: they teach nothing."""
    return sum(len(group) > 1 and len(set(group)) == 1 for group in numbers)

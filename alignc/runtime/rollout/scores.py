"""What the answers are worth: rewards, and how often an answer beats others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..data.batches import micro_batches
from ..ranks.run import Run
from ..ranks.shared import shared
from ..ranks.world import World
from ..reward import Oracle, Reward, win_rates
from .answers import Answers

__all__ = ["Judge", "Verdicts", "against", "degenerate", "verdicts_of"]

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Judge:
    """Who judges: a reward or an oracle or both, and what an answer gets that was cut before its end."""

    reward: Reward | None
    oracle: Oracle | None
    missing_eos_reward: float | None = None


@dataclass(frozen=True)
class Verdicts:
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


def verdicts_of(
    run: Run,
    world: World,
    judge: Judge,
    answers: Sequence[Answers],
    opponents: Sequence[Answers] | None = None,
) -> Verdicts:
    """Judge all answers, the ranks taking prompts in turn; an answer plays against its own group or ``opponents``."""
    size = run.job.spec.train.per_device_eval_batch_size
    pieces = micro_batches(range(len(answers)), size, world.rank, world.size)
    paid: dict[int, dict[str, Numbers]] = {}
    won: dict[int, Numbers] = {}
    if judge.reward is not None:
        paid = shared(run, world, pieces, payer(judge.reward, answers, judge.missing_eos_reward), "judging")
    if judge.oracle is not None:
        won = shared(run, world, pieces, player(judge.oracle, answers, opponents), "judging")
    order = range(len(answers))
    names = [name for name in (paid[0] if paid else {}) if name]
    return Verdicts(
        rewards=[paid[place][""] for place in order] if paid else (),
        win_rates=[won[place] for place in order] if won else (),
        parts={name: [paid[place][name] for place in order] for name in names},
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
        found: dict[int, dict[str, Numbers]] = {}
        at = 0
        for place in places:
            end = at + len(answers[place].samples)
            found[place] = {name: tuple(part[at:end]) for name, part in scores.parts.items()}
            found[place][""] = tuple(values[at:end])
            at = end
        return found

    return pay


def player(
    oracle: Oracle, answers: Sequence[Answers], opponents: Sequence[Answers] | None
) -> Callable[[list[int]], dict[int, Numbers]]:
    """Give the work that finds how often some prompts' answers win."""

    def play(places: list[int]) -> dict[int, Numbers]:
        mine = [answers[place] for place in places]
        if opponents is None:
            rates = win_rates(oracle, [each.samples for each in mine])
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

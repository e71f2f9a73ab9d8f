"""From answers and their worth to the rows that a loss takes: whole groups, or pairs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from ...contract.baselines import MEAN_WIN_RATE, PARTITIONS
from ...contract.failure import Failure
from ...contract.needs import LossNeeds
from ...contract.responses import COMPLETIONS
from ...contract.tables import look_up
from ..data.example import Column, Example, Tokens
from .answers import Answers
from .scores import AnswerScores, Numbers

__all__ = ["extremes", "ranking", "rows_of", "soft_mean"]


def rows_of(needs: LossNeeds, answers: Sequence[Answers], scores: AnswerScores) -> list[Example]:
    """Make a row of each prompt, with the columns that do not depend on any model's log-probabilities.

    `best_worst` makes a pair of a group's best and worst answer, `demonstration` one of the row's own completion and
    the first answer. Rows are counted from 0 within the rollout.
    """
    return [
        with_columns(needs, row_of(needs, place, each, scores), place, each, scores)
        for place, each in enumerate(answers)
    ]


def row_of(needs: LossNeeds, place: int, answers: Answers, scores: AnswerScores) -> Example:
    """Make one row without columns."""
    prompt = answers.prompt
    return Example(place, prompt.origin, prompt.ids, responses_of(needs, place, answers, scores))


def responses_of(needs: LossNeeds, place: int, answers: Answers, scores: AnswerScores) -> tuple[Tokens, ...]:
    """Pick a row's responses in the order that the needs name them."""
    if needs.convert == "demonstration":
        if answers.prompt.demonstration is None:
            raise Failure(
                "E701",
                f"{answers.prompt.origin} has no completion, but the objective compares samples with it",
            )
        return (answers.prompt.demonstration, answers.completions[0])
    if needs.convert == "best_worst":
        return tuple(answers.completions[at] for at in chosen(needs, place, scores))
    return answers.completions


def chosen(needs: LossNeeds, place: int, scores: AnswerScores) -> tuple[int, ...]:
    """Say which answers a row's responses are, where they are answers."""
    if needs.convert == "best_worst":
        return extremes(scores.of(ranking(needs, scores))[place])
    return ()


def ranking(needs: LossNeeds, scores: AnswerScores) -> str:
    """Choose the numbers that rank answers: win rates where the loss reads them or nothing else is known."""
    reads = any(column.startswith("win_rate") for column in needs.columns)
    return "win_rate" if scores.win_rates and (reads or not scores.rewards) else "reward"


def extremes(values: Numbers) -> tuple[int, int]:
    """Find the best and the worst of a group: of equals the first is the best, and the last the worst.

    So they are two answers even where all are worth the same.
    """
    places = range(len(values))
    return max(places, key=lambda at: (values[at], -at)), min(places, key=lambda at: (values[at], -at))


def with_columns(
    needs: LossNeeds, row: Example, place: int, answers: Answers, scores: AnswerScores
) -> Example:
    """Give a row its columns."""
    columns: dict[str, Column] = {}
    picked = dict(zip(needs.responses, chosen(needs, place, scores), strict=False))
    for column in set(needs.columns) - set(needs.token_columns):
        kind, _, response = column.partition("/")
        if kind in PARTITIONS:
            columns[column] = average(needs, place, scores)
        elif kind in ("reward", "win_rate"):
            numbers = scores.of(kind)[place]
            columns[column] = numbers if response == COMPLETIONS else numbers[picked[response]]
        else:
            raise Failure("E806", f"a rollout has no column `{column}`")
    return dataclasses.replace(row, columns=columns)


def average(needs: LossNeeds, place: int, scores: AnswerScores) -> float:
    """Estimate the win rate of an average answer, as `needs.baseline` has it: over the rollout, or over one prompt."""
    if needs.baseline is None:
        raise Failure("E806", "job.json does not say how the average win rate is estimated")
    if look_up(PARTITIONS, needs.baseline.kind, "estimate of a log-partition") is MEAN_WIN_RATE:
        return math.fsum(map(math.fsum, scores.win_rates)) / sum(map(len, scores.win_rates))
    return soft_mean(scores.win_rates[place][: needs.baseline.samples], needs.baseline.eta)


def soft_mean(rates: Sequence[float], eta: float) -> float:
    """Estimate (1/eta)·log E[exp(eta·P)] over the policy's own answers, the expectation by a mean.

    So eta times it is the log-partition function of the multiplicative-weights update (Wu et al. 2024, eq. 3.3).
    """
    highest = max(rates)
    mean = sum(math.exp(eta * (rate - highest)) for rate in rates) / len(rates)
    return highest + math.log(mean) / eta

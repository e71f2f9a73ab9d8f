"""Write the examples' data: sums of two-digit numbers, by two teachers, one of whom forgets to carry.

A model that imitates both (SFT) is right about half the time and does not prefer the right answer; pairs of right
and careless answers (DPO and kin) or a reward for the right one teach it which teacher to follow. No problem of the
held-out files is in any other file, nor with its numbers swapped.

    python examples/data/make_data.py [FOLDER]

| file | rows | columns |
| --- | --- | --- |
| demonstrations.jsonl, demonstrations_held_out.jsonl | both teachers' answers | prompt, completion |
| pairs.jsonl, pairs_held_out.jsonl | right against careless | prompt, chosen, rejected |
| marks.jsonl | one answer and its marks | prompt, completion, label, reward, win_rate |
| scored.jsonl | four answers and their rewards | prompt, completions, rewards, win_rates |
| prompts.jsonl, prompts_held_out.jsonl | the question and what a verifier needs | prompt, answer |
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

SEED = 20240229
HELD_OUT, PAIRS, MARKS, SCORED, PROMPTS = 300, 1200, 1200, 600, 1000
REWARDS = {"right": 1.0, "careless": 0.25, "wrong": 0.0}
# How often an answer beats that of a teacher drawn by a coin; a tie counts half.
WIN_RATES = {"right": 0.75, "careless": 0.25, "wrong": 0.0}

Row = dict[str, Any]


class Sum(NamedTuple):
    """A problem whose units carry, so that forgetting to carry gives a wrong answer."""

    left: int
    right: int

    @property
    def prompt(self) -> str:
        return f"{self.left}+{self.right}="

    @property
    def answer(self) -> int:
        return self.left + self.right

    @property
    def careless(self) -> int:
        return self.answer - 10


def problems(random: Random) -> list[Sum]:
    """Shuffle all sums of two-digit numbers whose units carry."""
    numbers = range(10, 100)
    result = [Sum(left, right) for left in numbers for right in numbers if left % 10 + right % 10 >= 10]
    random.shuffle(result)
    return result


def without(taken: Iterable[Sum], sums: Iterable[Sum]) -> list[Sum]:
    """Leave out problems that are taken, and those whose numbers are the same the other way round."""
    numbers = {frozenset(each) for each in taken}
    return [each for each in sums if frozenset(each) not in numbers]


def demonstrations(sums: Iterable[Sum], random: Random) -> list[Row]:
    """Let one of the two teachers, by a coin, answer each problem."""
    return [
        {"prompt": each.prompt, "completion": str(random.choice((each.answer, each.careless)))}
        for each in sums
    ]


def pairs(sums: Iterable[Sum]) -> list[Row]:
    """Set the right answer against the careless one."""
    return [
        {"prompt": each.prompt, "chosen": str(each.answer), "rejected": str(each.careless)} for each in sums
    ]


def prompts(sums: Iterable[Sum]) -> list[Row]:
    """State the problem, and beside it the answer that a verifier compares with."""
    return [{"prompt": each.prompt, "answer": str(each.answer)} for each in sums]


def marks(sums: Iterable[Sum], random: Random) -> list[Row]:
    """Give one answer to each problem, good or bad, with a label, a reward and a win rate."""
    rows = []
    for each in sums:
        completion, quality = random.choice(answers(each, random)[:3])
        marked = {"label": quality == "right", "reward": REWARDS[quality], "win_rate": WIN_RATES[quality]}
        rows.append({"prompt": each.prompt, "completion": completion, **marked})
    return rows


def scored(sums: Iterable[Sum], random: Random) -> list[Row]:
    """Give four different answers to each problem with their rewards, in no order."""
    rows = []
    for each in sums:
        four = answers(each, random)
        random.shuffle(four)
        rewards = [REWARDS[quality] for _, quality in four]
        completions = [completion for completion, _ in four]
        rates = win_rates(rewards)
        rows.append(
            {"prompt": each.prompt, "completions": completions, "rewards": rewards, "win_rates": rates}
        )
    return rows


def answers(each: Sum, random: Random) -> list[tuple[str, str]]:
    """Return the right answer, the careless one and two that are wrong otherwise, with their quality."""
    wrong = [each.answer + slip for slip in random.sample((-11, -9, -2, -1, 1, 2, 9, 10), 2)]
    named = [(each.answer, "right"), (each.careless, "careless"), *((value, "wrong") for value in wrong)]
    return [(str(value), quality) for value, quality in named]


def win_rates(rewards: Sequence[float]) -> list[float]:
    """Return the share of the others that each one beats; a tie counts half."""
    others = len(rewards) - 1
    return [
        round(
            (sum(mine > other for other in rewards) + (sum(mine == other for other in rewards) - 1) / 2)
            / others,
            6,
        )
        for mine in rewards
    ]


def make() -> dict[str, list[Row]]:
    """Make every file's rows."""
    random = Random(SEED)
    sums = problems(random)
    held_out = sums[:HELD_OUT]
    rest = without(held_out, sums)
    return {
        "demonstrations.jsonl": demonstrations(rest, random),
        "demonstrations_held_out.jsonl": demonstrations(held_out, random),
        "pairs.jsonl": pairs(rest[:PAIRS]),
        "pairs_held_out.jsonl": pairs(held_out),
        "prompts.jsonl": prompts(rest[:PROMPTS]),
        "prompts_held_out.jsonl": prompts(held_out),
        "marks.jsonl": marks(rest[:MARKS], random),
        "scored.jsonl": scored(rest[:SCORED], random),
    }


def main(folder: Path) -> None:
    """Write the files into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in make().items():
        lines = "".join(f"{json.dumps(row)}\n" for row in rows)
        (folder / name).write_text(lines, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)

"""Test whether the reward model judges the number, the story or the form of a solution.

The reward model compares right solutions of held-out questions with two kinds of wrong ones: the same solution with
another result at its end, and a right solution of another question. A checker of arithmetic would tell them apart. The
script also prints the share of pairs that the length alone ranks correctly.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from alignc.runtime.reward import Sample
from alignc.runtime.reward.model import RewardModel

OUT = Path(__file__).resolve().parents[1] / "out"
MODEL = OUT / "runs" / "gsm8k-reward-model" / "model"
Pair = tuple[Sample, Sample]


def sample(prompt: str, completion: str, number: int) -> Sample:
    return Sample(prompt, completion, f"pairs_held_out.jsonl:{number}", 0, {"prompt": prompt}, ended=True)


def rightly(pairs: list[Pair], model: RewardModel) -> str:
    scores = iter(model([each for pair in pairs for each in pair]))
    won = sum(next(scores) > next(scores) for _ in pairs)
    return f"{won / len(pairs):.1%} of {len(pairs)}"


def other_result(solution: str) -> str:
    """Add one to the number behind the last `A: `."""
    body, mark, result = solution.rpartition("A: ")
    return f"{body}{mark}{int(result) + 1}"


def altered(rows: list[dict[str, str]]) -> Iterator[Pair]:
    for number, row in enumerate(rows, 1):
        if row["chosen"].rpartition("A: ")[2].strip().isdecimal():
            right = sample(row["prompt"], row["chosen"], number)
            yield right, sample(row["prompt"], other_result(row["chosen"]), number)


def elsewhere(rows: list[dict[str, str]]) -> Iterator[Pair]:
    for number, (row, other) in enumerate(zip(rows, [*rows[1:], rows[0]], strict=True), 1):
        if other["prompt"] != row["prompt"]:
            right = sample(row["prompt"], row["chosen"], number)
            yield right, sample(row["prompt"], other["chosen"], number)


def main() -> None:
    lines = (OUT / "gsm8k" / "pairs_held_out.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    model = RewardModel(str(MODEL), "cpu")
    given = [
        (sample(r["prompt"], r["chosen"], n), sample(r["prompt"], r["rejected"], n))
        for n, r in enumerate(rows, 1)
    ]
    shorter = sum(len(r["chosen"]) < len(r["rejected"]) for r in rows) / len(rows)
    once = list({r["chosen"]: r for r in rows}.values())
    print(f"right solution against a wrong one:            {rightly(given, model)}")
    print(f"the shorter of both is the right one:          {shorter:.1%} of {len(rows)}")
    print(f"... against itself with another result:        {rightly(list(altered(once)), model)}")
    print(f"... against another question's right solution: {rightly(list(elsewhere(once)), model)}")


if __name__ == "__main__":
    main()

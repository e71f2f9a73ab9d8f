"""Turn GSM8K (`../shared/data/gsm8k` beside the checkout, or a given folder) into rows for every kind of data.

The script writes demonstrations, pairs, marks, scored solutions, and prompts with answers to `benchmarks/out/gsm8k/`.
It also trains an 8k BPE tokenizer on `train.jsonl`. The held-out files hold the last 200 questions of
`model_solutions.jsonl`, and no run trains on their rows. An online run evaluates on the first few of their prompts.
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "benchmarks" / "out" / "gsm8k"
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
HELD_OUT = 200
FEW = 32
VOCABULARY = 8192

Row = dict[str, Any]


def read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def write(name: str, rows: Iterable[Row]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (OUT / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    print(f"{name:<24} {len(lines):>6} rows")


def prompt(row: Row) -> str:
    return f"Question: {row['question']}\nAnswer: "


def demonstrations(rows: list[Row]) -> Iterator[Row]:
    """The worked answers, ending as the models' solutions end."""
    for row in rows:
        yield {"prompt": prompt(row), "completion": row["answer"].replace("\n#### ", "\nA: ")}


def solutions(row: Row) -> list[tuple[str, bool]]:
    """A question's four solutions, each text once."""
    return list({row[m]["solution"]: bool(row[m]["is_correct"]) for m in MODELS}.items())


def pairs(rows: list[Row]) -> Iterator[Row]:
    """Every right solution beside every wrong one of the same question."""
    for row in rows:
        found = solutions(row)
        right, wrong = [t for t, ok in found if ok], [t for t, ok in found if not ok]
        for chosen, rejected in itertools.product(right, wrong):
            yield {"prompt": prompt(row), "chosen": chosen, "rejected": rejected}


def marks(rows: list[Row]) -> Iterator[Row]:
    for row in rows:
        for text, ok in solutions(row):
            yield {"prompt": prompt(row), "completion": text, "label": ok, "reward": float(ok)}


def scored(rows: list[Row]) -> Iterator[Row]:
    """Groups in which some solution is right and some is wrong."""
    for row in rows:
        found = solutions(row)
        if len({ok for _, ok in found}) == 2:
            yield {
                "prompt": prompt(row),
                "completions": [text for text, _ in found],
                "rewards": [float(ok) for _, ok in found],
            }


def prompts(rows: list[Row]) -> Iterator[Row]:
    for row in rows:
        yield {"prompt": prompt(row), "answer": row["ground_truth"].rpartition("A: ")[2]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", type=Path, default=ROOT.parent / "shared" / "data" / "gsm8k")
    source = parser.parse_args().source
    OUT.mkdir(parents=True, exist_ok=True)
    train, judged = read(source / "train.jsonl"), read(source / "model_solutions.jsonl")
    known, held_out = judged[:-HELD_OUT], judged[-HELD_OUT:]
    write("demonstrations", demonstrations(train[:-HELD_OUT]))
    write("demonstrations_held_out", demonstrations(train[-HELD_OUT:]))
    for name, make in (("pairs", pairs), ("marks", marks), ("scored", scored), ("prompts", prompts)):
        write(name, make(known))
        write(f"{name}_held_out", make(held_out))
    write("prompts_few_held_out", prompts(held_out[:FEW]))
    from alignc.runtime.data.tokenizer import train_bpe

    texts = [part for row in train for part in (prompt(row), row["answer"])]
    train_bpe(texts, VOCABULARY, OUT / "tokenizer")
    print(f"tokenizer of {VOCABULARY} in {OUT / 'tokenizer'}")


if __name__ == "__main__":
    main()

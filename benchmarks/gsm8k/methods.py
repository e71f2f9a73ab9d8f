"""Train the methods on GSM8K from one SFT model, tuned alike, and hold them against each other on held-out rows.

Each method is trained with every learning rate of the grid, for the number of tokens that the DPO spec sees in its
epoch. The rate is chosen by preference accuracy on pairs of training questions that no run trains on; figures are
those of the held-out questions. Writes `methods.json`, a table and a plot to `benchmarks/out/gsm8k/`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from svg import chart

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "out" / "gsm8k"
METHODS = ("dpo", "ipo", "simpo", "orpo", "r_dpo", "kto", "copg")
RATES = ("1e-5", "3e-5")
TUNING_PAIRS = 150


def alignc(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "alignc", *arguments], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def tokens_of(folder: Path) -> int:
    return int(metrics(folder)[-1]["num_tokens"])


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]


def split_tuning_pairs() -> tuple[Path, Path]:
    """Set pairs of the last training questions aside: rates are chosen on them, and nothing else is."""
    rows = (OUT / "pairs.jsonl").read_text("utf-8").splitlines(keepends=True)
    tuning, train = OUT / "pairs_tuning.jsonl", OUT / "pairs_train.jsonl"
    tuning.write_text("".join(rows[-TUNING_PAIRS:]), encoding="utf-8")
    asked = {json.loads(row)["prompt"] for row in rows[-TUNING_PAIRS:]}
    train.write_text("".join(r for r in rows if json.loads(r)["prompt"] not in asked), encoding="utf-8")
    for kind in ("marks", "scored"):
        lines = (OUT / f"{kind}.jsonl").read_text("utf-8").splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line)["prompt"] not in asked]
        (OUT / f"{kind}_train.jsonl").write_text("".join(kept), encoding="utf-8")
    return train, tuning


def source_of(method: str) -> str:
    return {"kto": "marks", "copg": "scored"}.get(method, "pairs")


def train(method: str, rate: str, steps: int | None) -> Path:
    folder = OUT / "methods" / f"{method}-{rate}"
    sets = [
        f"train.learning_rate={rate}",
        f"output_dir={folder}",
        "data.eval=null",
        "train.eval_on_start=false",
    ]
    sets.append(f"data.source={OUT / source_of(method)}_train.jsonl")
    if steps is not None:
        sets.append(f"train.max_steps={steps}")
    alignc("run", str(HERE / f"{method}.yaml"), *(part for s in sets for part in ("--set", s)))
    return folder


def steps_for(method: str, rate: str, tokens: int) -> int:
    """Find the number of steps that sees a number of tokens, from the tokens of the first few."""
    probe = OUT / "methods" / f"{method}-probe"
    sets = [
        f"output_dir={probe}",
        f"data.source={OUT / source_of(method)}_train.jsonl",
        "train.eval_on_start=false",
    ]
    arguments = [
        part for s in (*sets, "data.eval=null", f"train.learning_rate={rate}") for part in ("--set", s)
    ]
    alignc("run", str(HERE / f"{method}.yaml"), *arguments, "--max-steps", "4")
    return max(1, round(4 * tokens / tokens_of(probe)))


def judged(folders: list[Path], pairs: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        alignc("eval", *map(str, folders), "--pairs", str(pairs), "--json")
    )
    return found


def table(rows: list[dict[str, Any]]) -> str:
    head = "| method | rate | preference accuracy | margin, nat | log π chosen | log π rejected | tokens |"
    lines = [
        f"| {r['method']} | {r['rate']} | {r['accuracy']:.1%} | {r['reward_margin']:+.2f} | {r['chosen']:.1f}"
        f" | {r['rejected']:.1f} | {r['tokens']:,} |"
        for r in rows
    ]
    return "\n".join([head, "| --- " * 7 + "|", *lines]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--rates", nargs="+", default=RATES)
    asked = parser.parse_args()
    _, tuning = split_tuning_pairs()
    sft = Path("benchmarks/out/runs/gsm8k-sft/model")
    first = train("dpo", asked.rates[0], None)
    tokens = tokens_of(first)
    rows = [{"method": "sft", "rate": "", "tokens": 0, **judged([sft], OUT / "pairs_held_out.jsonl")[0]}]
    for method in asked.methods:
        steps = None if method == "dpo" else steps_for(method, asked.rates[0], tokens)
        runs = [train(method, rate, steps) for rate in asked.rates]
        scores = judged([sft, *(run / "model" for run in runs)], tuning)[1:]
        best = max(range(len(runs)), key=lambda i: scores[i]["accuracy"])
        held_out = judged([sft, runs[best] / "model"], OUT / "pairs_held_out.jsonl")[1]
        rows.append(
            {"method": method, "rate": asked.rates[best], "tokens": tokens_of(runs[best]), **held_out}
        )
        (OUT / "methods.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (OUT / "methods.md").write_text(table(rows), encoding="utf-8")
    (OUT / "methods.svg").write_text(chart(rows), encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()

"""Train methods on GSM8K from one SFT model with the same tuning, and compare them on held-out rows.

The script trains each method with every learning rate of the grid, for about as many tokens as the DPO spec sees in its
epoch. It chooses the rate by preference accuracy on pairs of training questions that no run trains on. The figures come
from the held-out questions, and the chosen models answer some of these questions. The script writes `methods.json`, a
table and a plot to `benchmarks/out/gsm8k/`. With `--judge` it trains nothing and reads the runs from `methods.json`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from svg import chart

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "out" / "gsm8k"
METHODS = ("dpo", "ipo", "simpo", "orpo", "r_dpo", "kto", "copg")
RATES = ("1e-5", "3e-5")
TUNING_PAIRS = 150
ANSWERS = ("--max-new-tokens", "128", "--limit", "60")
SFT = HERE.parent / "out" / "runs" / "gsm8k-sft" / "model"

Row = dict[str, Any]


def alignc(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "alignc", *arguments], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout


def tokens_of(folder: Path) -> int:
    return int(metrics(folder)[-1]["num_tokens"])


def metrics(folder: Path) -> list[Row]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]


def split_tuning_pairs() -> None:
    """Set pairs of the last training questions aside: only the rates are chosen on them."""
    rows = (OUT / "pairs.jsonl").read_text("utf-8").splitlines(keepends=True)
    tuning, train = OUT / "pairs_tuning.jsonl", OUT / "pairs_train.jsonl"
    tuning.write_text("".join(rows[-TUNING_PAIRS:]), encoding="utf-8")
    asked = {json.loads(row)["prompt"] for row in rows[-TUNING_PAIRS:]}
    train.write_text("".join(r for r in rows if json.loads(r)["prompt"] not in asked), encoding="utf-8")
    for kind in ("marks", "scored"):
        lines = (OUT / f"{kind}.jsonl").read_text("utf-8").splitlines(keepends=True)
        kept = [line for line in lines if json.loads(line)["prompt"] not in asked]
        (OUT / f"{kind}_train.jsonl").write_text("".join(kept), encoding="utf-8")


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


def judged(folders: Sequence[Path], *questions: str) -> list[Row]:
    found: list[Row] = json.loads(alignc("eval", *map(str, folders), *questions, "--json"))
    return found


def chosen(method: str, rates: Sequence[str], tokens: int | None) -> Row:
    """Train a method at every rate, and take the one that ranks most of the tuning pairs rightly."""
    steps = None if tokens is None else steps_for(method, rates[0], tokens)
    runs = [train(method, rate, steps) for rate in rates]
    scores = judged([run / "model" for run in runs], "--pairs", str(OUT / "pairs_tuning.jsonl"))
    best = max(range(len(runs)), key=lambda i: scores[i]["accuracy"])
    tuning = {rate: score["accuracy"] for rate, score in zip(rates, scores, strict=True)}
    return {"method": method, "rate": rates[best], "tokens": tokens_of(runs[best]), "tuning": tuning}


def trained(methods: Sequence[str], rates: Sequence[str]) -> list[Row]:
    """Train every method for as many tokens as DPO sees."""
    split_tuning_pairs()
    tokens = tokens_of(train("dpo", rates[0], None))
    rows = []
    for method in methods:
        rows.append(chosen(method, rates, None if method == "dpo" else tokens))
        save(rows)
    return rows


def held_out(rows: Sequence[Row]) -> list[Row]:
    """Measure the SFT model and the chosen runs on all pairs, and on the answers to a few prompts."""
    models = [SFT, *(OUT / "methods" / f"{row['method']}-{row['rate']}" / "model" for row in rows)]
    pairs = judged(models, "--pairs", str(OUT / "pairs_held_out.jsonl"))
    answers = judged(models, "--prompts", str(OUT / "prompts_held_out.jsonl"), *ANSWERS)
    sft = {"method": "sft", "rate": "", "tokens": 0}
    written = [{key: row[key] for key in ("quality", "length")} for row in answers]
    return [row | pair | own for row, pair, own in zip([sft, *rows], pairs, written, strict=True)]


def save(rows: Sequence[Row]) -> None:
    (OUT / "methods.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def table(rows: Sequence[Row]) -> str:
    head = (
        "| method | rate | π ranks rightly | π/π_SFT ranks rightly | margin, nat | log π chosen | log π rejected"
        " | answer, tokens | right | tokens seen |"
    )
    return "\n".join([head, "| --- " * 10 + "|", *map(line, rows)]) + "\n"


def line(row: Row) -> str:
    ranks = "–" if row["reward_accuracy"] is None else f"{row['reward_accuracy']:.1%}"
    cells = (
        row["method"],
        row["rate"] or "–",
        f"{row['accuracy']:.1%}",
        ranks,
        f"{row['reward_margin']:+.2f}",
        f"{row['chosen']:.1f}",
        f"{row['rejected']:.1f}",
        f"{row['length']:.1f}",
        f"{row['quality']:.1%}",
        f"{row['tokens']:,}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--rates", nargs="+", default=RATES)
    parser.add_argument("--judge", action="store_true", help="train nothing")
    asked = parser.parse_args()
    if asked.judge:
        known = json.loads((OUT / "methods.json").read_text("utf-8"))
        runs = [row for row in known if row["method"] != "sft"]
    else:
        runs = trained(asked.methods, asked.rates)
    rows = held_out(runs)
    save(rows)
    (OUT / "methods.md").write_text(table(rows), encoding="utf-8")
    (OUT / "methods.svg").write_text(chart(rows), encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()

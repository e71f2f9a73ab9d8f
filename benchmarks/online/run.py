"""Train online methods on two-digit sums, from one SFT model and with three seeds each.

The script prints the table of docs/online.md. It writes the charts and `results.json` to `benchmarks/out/online/`.
Every run is `alignc run SPEC`, with a spec beside this file. Runs that are up to date are not trained again.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from svg import Panel, Point, chart

HERE = Path(__file__).resolve().parent
OUT = Path("benchmarks/out/online")
METHODS = ("ppo", "rloo", "grpo", "copg", "reinforce", "sppo", "rloo-free")
JUDGED = ("judged", "judged-weak", "judged-free")
NAMES = {
    "rloo-free": "rloo, β = 0",
    "judged": "rloo, β = 3",
    "judged-weak": "rloo, β = 1",
    "judged-free": "rloo, β = 0",
}
VERIFIED, KL, PROXY = "eval_rewards/exact_number/mean", "eval_objective/kl", "eval_rewards/model/mean"

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", nargs="+", type=int, default=(1, 2, 3))
    parser.add_argument("--methods", nargs="+", default=(*METHODS, *JUDGED))
    asked = parser.parse_args()
    train("sft", OUT / "sft")
    if set(asked.methods) & set(JUDGED):
        train("reward_model", OUT / "reward_model")
    runs = {
        method: [train(method, OUT / "runs" / f"{method}-{seed}", seed) for seed in asked.seeds]
        for method in asked.methods
    }
    rows = {method: [metrics(folder) for folder in folders] for method, folders in runs.items()}
    found = {method: summary(method, folders, rows[method]) for method, folders in runs.items()}
    (OUT / "results.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    draw(
        "online.svg",
        rows,
        METHODS,
        {"held-out sums answered right": VERIFIED, "KL to the SFT model, nat": KL},
    )
    proxy = {"reward model's score": PROXY, "sums answered right": VERIFIED}
    draw("judged.svg", rows, JUDGED, proxy | {"KL to the SFT model, nat": KL})
    print(table(found))


def train(name: str, folder: Path, seed: int | None = None) -> Path:
    """Run a spec into a folder; write the processor's seconds beside it, unless the run was up to date."""
    sets = [f"output_dir={folder}"] + ([] if seed is None else [f"train.seed={seed}"])
    spent = folder.with_name(folder.name + ".seconds")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "alignc", "run", str(HERE / f"{name}.yaml")]
    done = subprocess.run([*command, *(part for each in sets for part in ("--set", each))])
    if done.returncode:
        sys.exit(done.returncode)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if not spent.exists():
        spent.write_text(f"{after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime:.0f}\n")
    return folder


def metrics(folder: Path) -> list[Row]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]


def summary(method: str, folders: Sequence[Path], runs: Sequence[Sequence[Row]]) -> Row:
    """Take a method's row of the table: the held-out metrics of each seed, before and after."""
    held_out = [[row for row in run if KL in row] for run in runs]
    names = [name for name in held_out[0][-1] if name.startswith("eval_")]
    return {
        "method": NAMES.get(method, method),
        "seconds": [int((f.with_name(f.name + ".seconds")).read_text()) for f in folders],
        "steps": runs[0][-1]["step"],
        "responses": sum(1 for _ in (folders[0] / "rollouts.jsonl").open()),
        "before": {name: [run[0][name] for run in held_out] for name in names},
        "after": {name: [run[-1][name] for run in held_out] for name in names},
    }


def table(found: dict[str, Row]) -> str:
    """Write one row for each method; a missing value stays empty."""
    head = "| method | responses | steps | reward model | right before | right after | KL, nat | win rate | seconds |"
    lines = [
        f"| {row['method']} | {row['responses']:,} | {row['steps']} | {mean(row['after'].get(PROXY))}"
        f" | {mean(row['before'][VERIFIED])} | {mean(row['after'][VERIFIED])} | {mean(row['after'][KL])}"
        f" | {mean(row['after'].get('eval_win_rate'))} | {max(row['seconds'])} |"
        for row in found.values()
    ]
    return "\n".join([head, "| --- " * 9 + "|", *lines])


def mean(values: Sequence[float] | None) -> str:
    if not values:
        return ""
    return f"{statistics.mean(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def draw(file: str, rows: dict[str, list[list[Row]]], methods: Sequence[str], wanted: dict[str, str]) -> None:
    """Write a chart of some methods' held-out metrics, a panel for each."""
    shown = [method for method in methods if method in rows]
    if not shown:
        return
    panels = [
        Panel(title, {NAMES.get(method, method): curve(rows[method], name) for method in shown})
        for title, name in wanted.items()
    ]
    text = chart(panels, dashed=[NAMES[method] for method in shown if method.endswith("-free")])
    (OUT / file).write_text(text, encoding="utf-8")


def curve(runs: Sequence[Sequence[Row]], name: str) -> list[Point]:
    """Lay the seeds' curves over one another: at each step the mean, the lowest and the highest."""
    columns = zip(*([row for row in run if name in row] for run in runs), strict=True)
    values = [(column[0]["step"], [row[name] for row in column]) for column in columns]
    return [(step, statistics.mean(each), min(each), max(each)) for step, each in values]


if __name__ == "__main__":
    main()

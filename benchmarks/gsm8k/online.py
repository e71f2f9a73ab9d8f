"""Show the effect of PPO and SPPO on reward, KL, length and right answers, as a table and as curves.

The script reads the run folders `benchmarks/out/runs/gsm8k-{ppo,ppo-free,sppo}` that exist. It writes `online.md` and
`online.svg` to `benchmarks/out/gsm8k/`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from svg import Panel, Series, curves

RUNS = Path(__file__).resolve().parents[1] / "out" / "runs"
OUT = RUNS.parent / "gsm8k"
NAMES = {"gsm8k-ppo": "PPO", "gsm8k-ppo-free": "PPO, β = 0", "gsm8k-sppo": "SPPO"}
FIGURES = (
    ("reward model's score", "rewards/model/mean", ".2f"),
    ("KL to the SFT model, nat a response", "objective/kl", ".1f"),
    ("tokens a response", "completions/mean_length", ".0f"),
    ("share of responses that end", "completions/ended", ".0%"),
    ("right answers (exact number)", "rewards/exact_number/mean", ".1%"),
)

ENDS = 64

Row = dict[str, Any]


def metrics(folder: Path) -> list[Row]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]


def rollouts(rows: Sequence[Row]) -> list[Row]:
    """Take the first step of each rollout; its figures are of the policy before that step."""
    first: dict[int, Row] = {}
    for row in rows:
        if "rollout" in row:
            first.setdefault(row["rollout"], row | {"step": row["step"] - 1})
    return list(first.values())


def points(rows: Sequence[Row], name: str) -> list[tuple[float, float]]:
    return [(row["step"], row[name]) for row in rows if name in row]


def series(name: str, rows: Sequence[Row], figure: str) -> Series:
    return Series(name, points(rollouts(rows), figure), points(rows, f"eval_{figure}"))


def responses(folder: Path) -> list[Row]:
    return [json.loads(line) for line in (folder / "rollouts.jsonl").read_text("utf-8").splitlines()]


def verified(rows: Sequence[Row]) -> str:
    """Count right answers, and those among them that come to their end."""
    right = [row for row in rows if row["parts"]["exact_number"]]
    return f"{len(right)} of {len(rows)}" + (f" ({sum(not r['ended'] for r in right)} cut)" if right else "")


def one_digit(rows: Sequence[Row]) -> str:
    """Share of responses whose last line gives a result of one digit."""
    return f"{sum(bool(re.search(r'A: [0-9]$', row['completion'])) for row in rows) / len(rows):.0%}"


def table(runs: dict[Path, list[Row]]) -> str:
    names = [NAMES[folder.name] for folder in runs]
    lines = [f"| held-out prompts: before → after | {' | '.join(names)} |", "| --- " * (len(names) + 1) + "|"]
    for title, figure, form in FIGURES:
        ends = [[y for _, y in points(rows, f"eval_{figure}")] for rows in runs.values()]
        cells = [f"{values[0]:{form}} → {values[-1]:{form}}" for values in ends]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    told = [responses(folder) for folder in runs]
    halves = [(rows[: len(rows) // 2], rows[len(rows) // 2 :]) for rows in told]
    for half, title in enumerate(("first half", "second half")):
        cells = [verified(both[half]) for both in halves]
        lines.append(f"| right answers to training prompts, {title} of the run | {' | '.join(cells)} |")
    cells = [f"{one_digit(rows[:ENDS])} → {one_digit(rows[-ENDS:])}" for rows in told]
    lines.append(f"| results of one digit, first and last {ENDS} responses | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    runs = {RUNS / name: metrics(RUNS / name) for name in NAMES if (RUNS / name / "model").is_dir()}
    panels = [
        Panel(title, [series(NAMES[folder.name], rows, figure) for folder, rows in runs.items()])
        for title, figure, _ in FIGURES
        if figure != "completions/ended"
    ]
    (OUT / "online.svg").write_text(curves(panels), encoding="utf-8")
    (OUT / "online.md").write_text(table(runs), encoding="utf-8")
    print(table(runs))


if __name__ == "__main__":
    main()

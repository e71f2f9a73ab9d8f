"""`alignc eval`: compare trained models on held-out rows."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from alignc.runtime.compare import Figures

__all__ = ["command"]

COLUMNS = (
    ("preference accuracy", "accuracy", ".1%"),
    ("reward margin", "reward_margin", "+.3f"),
    ("reward accuracy", "reward_accuracy", ".1%"),
    ("log π chosen", "chosen", ".2f"),
    ("log π rejected", "rejected", ".2f"),
    ("verified answers", "quality", ".1%"),
    ("answer tokens", "length", ".1f"),
)


@click.command("eval")
@click.argument("runs", type=click.Path(exists=True), nargs=-1, required=True)
@click.option("--pairs", type=click.Path(exists=True), help="Held-out pairs: prompt, chosen, rejected.")
@click.option("--prompts", type=click.Path(exists=True), help="Prompts with an `answer` to check against.")
@click.option("--verifier", default="exact_number", show_default=True, help="How an answer is checked.")
@click.option("--max-new-tokens", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--limit", type=click.IntRange(min=1), metavar="ROWS", help="Take this many rows at the most.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    runs: Sequence[str],
    pairs: str | None,
    prompts: str | None,
    verifier: str,
    max_new_tokens: int,
    limit: int | None,
    as_json: bool,
) -> None:
    """Compare RUNS (output folders, model folders or specs) on held-out rows; the first is the baseline.

    Rewards are log-ratios to the baseline's model: their mean margin in nat, and the share of pairs that they rank
    rightly.
    """
    if not pairs and not prompts:
        raise click.UsageError("nothing to ask: give --pairs, --prompts or both")
    from alignc.runtime.compare import Questions, compare
    from alignc.runtime.verifiers import VERIFIERS

    if verifier not in VERIFIERS:
        raise click.UsageError(f"no verifier `{verifier}`; verifiers: {', '.join(VERIFIERS)}")
    asked = Questions(pairs, prompts, verifier, max_new_tokens=max_new_tokens, limit=limit)
    figures = compare([_model_folder(run) for run in runs], asked)
    shown = [dataclasses.asdict(f) for f in figures]
    click.echo(json.dumps(shown, indent=2) if as_json else _table(figures))


def _model_folder(run: str) -> Path:
    path = Path(run)
    if path.is_file():
        from alignc.api import load

        path = Path(load(path).job.output_dir)
    return path / "model" if (path / "model").is_dir() else path


def _table(figures: Sequence[Figures]) -> str:
    used = [c for c in COLUMNS if any(getattr(f, c[1]) is not None for f in figures)]
    width = max(len(f.name) for f in figures)
    head = "  ".join([" " * width, *(title for title, _, _ in used)])
    return "\n".join([head, *(_line(f, used, width) for f in figures)])


def _line(figures: Figures, used: Sequence[tuple[str, str, str]], width: int) -> str:
    values = [(title, getattr(figures, key), form) for title, key, form in used]
    cells = [
        f"{'–' if value is None else format(value, form):>{len(title)}}" for title, value, form in values
    ]
    return "  ".join([f"{figures.name:<{width}}", *cells])

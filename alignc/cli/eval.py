"""`alignc eval`: evaluate runs on their own held-out rows, or compare models on other rows."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from alignc.runtime.after.compare import Figures

from alignc.contract.files import MODEL, job_file

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
@click.option(
    "--pairs",
    type=click.Path(exists=True),
    help="A file of held-out pairs with the columns prompt, chosen and rejected.",
)
@click.option("--prompts", type=click.Path(exists=True), help="A file of prompts with a column `answer`.")
@click.option(
    "--verifier", default="exact_number", show_default=True, help="The verifier that checks each answer."
)
@click.option("--max-new-tokens", type=click.IntRange(min=1), default=64, show_default=True)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="ROWS", help="The largest number of rows to use."
)
@click.option(
    "--allow-function",
    multiple=True,
    metavar="MODULE:NAME",
    help="Allow a reward or oracle to run this function.",
)
@click.option(
    "--allow-host", multiple=True, metavar="HOST:PORT", help="Allow a reward to send responses to this host."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    runs: Sequence[str],
    pairs: str | None,
    prompts: str | None,
    verifier: str,
    max_new_tokens: int,
    limit: int | None,
    allow_function: tuple[str, ...],
    allow_host: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compare RUNS (output folders, model folders or specs) on held-out rows. The first run is the baseline.

    Without --pairs and --prompts, each run is evaluated on the held-out rows of its own spec (`data.eval`). The
    command then prints the metrics of the run's own loss. With --pairs or --prompts, all models are evaluated on
    the same rows. Every answer is greedy: the settings in `generation_config.json` of a model have no effect. The
    model of a run gets conversations as its spec writes them, and the strings in `data.stop` end its answers.

    The reward of a response is the log-ratio of the model to the baseline's model. The command prints the mean
    margin of these rewards in nat, and the share of pairs that the rewards rank correctly.
    """
    if not pairs and not prompts:
        click.echo(_own([_own_metrics(run, limit, allow_function, allow_host) for run in runs], as_json))
        return
    from alignc.runtime.after.compare import Questions, compare
    from alignc.runtime.reward.verifiers import VERIFIERS

    if verifier not in VERIFIERS:
        raise click.UsageError(f"there is no verifier `{verifier}`; the verifiers are {', '.join(VERIFIERS)}")
    asked = Questions(pairs, prompts, verifier, max_new_tokens=max_new_tokens, limit=limit)
    figures = compare([_model_folder(run) for run in runs], asked)
    shown = [dataclasses.asdict(f) for f in figures]
    click.echo(json.dumps(shown, indent=2) if as_json else _table(figures))


def _model_folder(run: str) -> Path:
    path = _output(run)
    return path / MODEL if (path / MODEL).is_dir() else path


def _output(run: str) -> Path:
    path = Path(run)
    if path.is_file():
        from alignc.api import load

        path = Path(load(path).job.output_dir)
    return path


def _own_metrics(
    run: str, limit: int | None, functions: Sequence[str], hosts: Sequence[str]
) -> tuple[str, dict[str, float]]:
    """Evaluate a run on the rows that its own spec holds out."""
    path = _output(run)
    if not job_file(path).is_file():
        raise click.UsageError(f"`{path}` is not the output folder of a run: give --pairs or --prompts")
    if not (path / MODEL).is_dir():
        raise click.UsageError(f"`{path}` has no model yet: finish the run with `alignc run --resume`")
    os.environ.update(_permitted(path, run, functions, hosts))
    from alignc.runtime.after.held_out import held_out_metrics

    return path.name, held_out_metrics(path.resolve(), limit=limit)


def _permitted(output: Path, run: str, functions: Sequence[str], hosts: Sequence[str]) -> dict[str, str]:
    """Return the environment variables that permit the functions and hosts of a run's reward.

    The permissions come from the `alignc.toml` beside the spec and from the flags. If `run` is not a spec, the path
    of the spec is read from the job.
    """
    from alignc.launch.allow import environment, permissions
    from alignc.load.document import Document

    job = json.loads(job_file(output).read_text("utf-8"))
    began = re.sub(r":\d+:\d+$", "", job["origins"].get("data.kind", ""))
    file = next((name for name in (run, began) if Path(name).is_file()), str(output))
    document = Document({}, {}, file)
    return environment(job["spec"], document, permissions(document.file, functions, hosts))


def _own(found: Sequence[tuple[str, dict[str, float]]], as_json: bool) -> str:
    """Format each run's own metrics as a table with a line for each metric and a column for each run."""
    if as_json:
        return json.dumps([{"name": name, **values} for name, values in found], indent=2)
    keys = list(dict.fromkeys(key for _, values in found for key in values))
    widths = [max(len(name), 10) for name, _ in found]
    wide = max(map(len, keys))
    head = "  ".join([" " * wide, *(f"{name:>{w}}" for (name, _), w in zip(found, widths, strict=True))])
    lines = [
        "  ".join(
            [f"{key:<{wide}}", *(_cell(values, key, w) for (_, values), w in zip(found, widths, strict=True))]
        )
        for key in keys
    ]
    return "\n".join([head, *lines])


def _cell(values: dict[str, float], key: str, width: int) -> str:
    return f"{format(values[key], '.5g') if key in values else '–':>{width}}"


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

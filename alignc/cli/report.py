"""`alignc report`: write one page about finished runs, and print a summary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from alignc.api import load, specs_of
from alignc.contract.files import REPORT
from alignc.report import Run, page, read_run, summary

__all__ = ["command"]


@click.command("report")
@click.argument("runs", type=click.Path(), nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False),
    help="The file of the page; by default `report.html` in the folder of the run.",
)
def command(runs: Sequence[str], output: str | None) -> None:
    """Write one page with the curves, settings and last rollouts of RUNS, and print a summary.

    A RUN is an output folder or a spec. The curves of several runs are drawn into the same charts. The page of
    several runs is written into the working directory.
    """
    found = [read_run(folder) for run in runs for folder in _folders(run)]
    target = Path(output) if output else _place(found)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(found), encoding="utf-8", newline="\n")
    click.echo(summary(found), nl=False)
    click.echo(f"wrote {target}")


def _place(found: Sequence[Run]) -> Path:
    return found[0].folder / REPORT if len(found) == 1 else Path(REPORT)


def _folders(run: str) -> list[Path]:
    """Return the output folders of a run; a spec or a pipeline names its output folders."""
    if not Path(run).is_file() and "#" not in run:
        return [Path(run)]
    return [Path(load(spec).job.output_dir) for spec in specs_of(run)]

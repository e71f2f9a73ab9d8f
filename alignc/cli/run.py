"""`alignc run`: train, one spec after another."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alignc.api import Ran, lowered, run
from alignc.cli.codes import SOUND
from alignc.cli.options import overrides
from alignc.cli.show import diagnostic, show_diagnostics

__all__ = ["command"]


@click.command("run")
@click.argument("specs", type=click.Path(), nargs=-1)
@click.option("-c", "--config", "configs", type=click.Path(), multiple=True, help="The same as SPECS.")
@overrides
@click.option("--resume", is_flag=True, help="Go on with an unfinished run from its newest whole checkpoint.")
@click.option("--overwrite", is_flag=True, help="Remove the run that `output_dir` holds, and start over.")
@click.option("--dry-run", is_flag=True, help="Check and compile, but start nothing.")
@click.option("--max-steps", type=click.IntRange(min=1), help="Stop after this many steps.")
@click.option("--limit", type=click.IntRange(min=1), metavar="ROWS", help="Take this many rows at the most.")
def command(
    specs: Sequence[str],
    configs: Sequence[str],
    overrides: Sequence[str],
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    max_steps: int | None,
    limit: int | None,
) -> int:
    """Train SPECS, one after another; a spec may start from the model of the one before it.

    A run that is finished and unchanged is skipped. Ctrl-C and SIGTERM save a checkpoint; --resume goes on.
    """
    files = [*specs, *configs]
    if not files:
        raise click.UsageError("which spec? `alignc run spec.yaml`")
    for file in files:
        if dry_run:
            click.echo(_plan(file, overrides))
            continue
        click.echo(f"── {file}", err=True)
        ended = run(
            file, overrides, resume=resume, overwrite=overwrite, max_steps=max_steps, limit=limit, show=_show
        )
        if code := _told(ended):
            return code
    return SOUND


def _plan(file: str, overrides: Sequence[str]) -> str:
    compiled = lowered(file, overrides)
    job = compiled.spec.job
    show_diagnostics(compiled.warnings, compiled.spec.document.texts)
    roles = ", ".join(f"{r.role} ({r.weights})" for r in compiled.needs.roles)
    return (
        f"{file}: {compiled.explanation.formula}\n  models: {roles}\n"
        f"  {job.launch.num_processes} process(es) of {job.launch.engine}; everything goes to {job.output_dir}"
    )


def _told(ended: Ran) -> int:
    if ended.action == "up_to_date":
        click.echo(f"up to date: {ended.output_dir}")
    elif ended.exit_code == SOUND:
        click.echo(f"done: {ended.output_dir}")
    if ended.diagnostics:
        show_diagnostics(diagnostic(d) for d in ended.diagnostics)
    return ended.exit_code


def _show(line: str) -> None:
    click.echo(line, err=True)

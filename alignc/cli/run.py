"""`alignc run`: train, one spec after another."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alignc.api import Mixture, Ran, built, run_stages, staged
from alignc.cli.codes import ENVIRONMENT, SOUND
from alignc.cli.options import overrides
from alignc.cli.show import diagnostic, show_diagnostics
from alignc.launch import Assessment, Options, reason, refusals

__all__ = ["command"]


@click.command("run")
@click.argument("specs", type=click.Path(), nargs=-1)
@click.option("-c", "--config", "configs", type=click.Path(), multiple=True, help="The same as SPECS.")
@overrides
@click.option("--resume", is_flag=True, help="Go on with an unfinished run from its newest whole checkpoint.")
@click.option(
    "--overwrite",
    is_flag=True,
    help="Remove the run that `output_dir` holds, and start over; of several stages, only those out of date.",
)
@click.option(
    "--with-stages", is_flag=True, help="First run the specs behind every `{run: SPEC}`, where need be."
)
@click.option("--dry-run", is_flag=True, help="Check, and say what would run and why, but start nothing.")
@click.option("--allow-function", multiple=True, metavar="MODULE:NAME", help="Let a reward or oracle run it.")
@click.option("--allow-host", multiple=True, metavar="HOST:PORT", help="Let a reward send responses there.")
@click.option("--max-steps", type=click.IntRange(min=1), help="Stop after this many steps.")
@click.option("--limit", type=click.IntRange(min=1), metavar="ROWS", help="Take this many rows at the most.")
def command(
    specs: Sequence[str],
    configs: Sequence[str],
    overrides: Sequence[str],
    resume: bool,
    overwrite: bool,
    with_stages: bool,
    dry_run: bool,
    allow_function: tuple[str, ...],
    allow_host: tuple[str, ...],
    max_steps: int | None,
    limit: int | None,
) -> int:
    """Train SPECS: each after those whose models it starts from. A pipeline file stands for its stages.

    A run that is finished and unchanged, by the content of its spec, data and models, is skipped. Ctrl-C and
    SIGTERM save a checkpoint; --resume goes on there, whichever stage it was.
    """
    files = [*specs, *configs]
    if not files:
        raise click.UsageError("which spec? `alignc run spec.yaml`")
    if dry_run:
        options = Options(
            resume, overwrite, max_steps=max_steps, limit=limit, functions=allow_function, hosts=allow_host
        )
        return _planned(staged(files, overrides, options, with_stages=with_stages), overrides)
    ended = run_stages(
        files,
        overrides,
        with_stages=with_stages,
        resume=resume,
        overwrite=overwrite,
        max_steps=max_steps,
        limit=limit,
        allow_functions=allow_function,
        allow_hosts=allow_host,
        show=_show,
    )
    return next((code for ran in ended if (code := _told(ran))), SOUND)


def _planned(ahead: Sequence[Assessment], overrides: Sequence[str]) -> int:
    for each in ahead:
        spec = each.stage.spec
        known = f"depends on what {', '.join(each.after)} will make" if each.after else reason(each)
        refused = each.decision.action == "refuse" and not each.after
        click.echo(_plan(spec, overrides if each.stage.document.texts.get("--set") else ()))
        click.echo(f"  {'refused: ' + each.decision.message if refused else known}")
    found = refusals(ahead)
    show_diagnostics(found)
    return ENVIRONMENT if found else SOUND


def _plan(file: str, overrides: Sequence[str]) -> str:
    compiled = built(file, overrides)
    job, explained = compiled.spec.job, compiled.explanation
    needs = [p.needs for p in compiled.parts.values()] if isinstance(compiled, Mixture) else [compiled.needs]
    show_diagnostics(compiled.warnings, compiled.spec.document.texts)
    roles = ", ".join(dict.fromkeys(f"{r.role} ({r.weights})" for each in needs for r in each.roles))
    return (
        f"{file}: {explained.formula}\n  models: {roles}\n"
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

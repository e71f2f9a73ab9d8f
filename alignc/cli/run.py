"""`alignc run`: train one spec after another."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alignc.api import Mixture, Ran, built, run_stages, staged
from alignc.cli.options import overrides
from alignc.cli.show import diagnostic, show_diagnostics
from alignc.contract.exits import ENVIRONMENT, SOUND
from alignc.launch import Assessment, Options, reason, refusals
from alignc.plan import roles

__all__ = ["command"]


@click.command("run")
@click.argument("specs", type=click.Path(), nargs=-1)
@click.option(
    "-c",
    "--config",
    "configs",
    type=click.Path(),
    multiple=True,
    help="A spec; the same as an argument in SPECS.",
)
@overrides
@click.option(
    "--resume", is_flag=True, help="Continue an unfinished run from its newest complete checkpoint."
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Remove the run in `output_dir` and start again. Stages that are up to date are kept.",
)
@click.option(
    "--with-stages",
    is_flag=True,
    help="First run the specs that `{run: SPEC}` names, unless they are up to date.",
)
@click.option(
    "--dry-run", is_flag=True, help="Print the runs that would start, with reasons, and start none of them."
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
@click.option("--max-steps", type=click.IntRange(min=1), help="Stop after this many steps.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="ROWS", help="The largest number of rows to use."
)
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
    """Train SPECS. A spec that starts from the model of another spec runs after this other spec.

    A pipeline file stands for all its stages. The command skips a finished run if the content of its spec, data and
    models is unchanged. Ctrl-C and SIGTERM save a checkpoint. --resume continues from this checkpoint, in the stage
    that was interrupted.
    """
    files = [*specs, *configs]
    if not files:
        raise click.UsageError("name a spec, as in `alignc run spec.yaml`")
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
        known = f"depends on the output of {', '.join(each.after)}" if each.after else reason(each)
        refused = each.decision.action == "refuse" and not each.after
        click.echo(_plan(spec, overrides if each.stage.document.texts.get("--set") else ()))
        click.echo(f"  {'refused: ' + each.decision.message if refused else known}")
    found = refusals(ahead)
    show_diagnostics(found)
    return ENVIRONMENT if found else SOUND


def _plan(file: str, overrides: Sequence[str]) -> str:
    compiled = built(file, overrides)
    job, explained = compiled.spec.job, compiled.explanation
    parts = list(compiled.parts.values()) if isinstance(compiled, Mixture) else [compiled]
    show_diagnostics(compiled.warnings, compiled.spec.document.texts)
    held = [role for part in parts for role in roles(part.needs, part.loss, part.spec.job)]
    models = ", ".join(dict.fromkeys(f"{role.role} ({role.weights})" for role in held))
    return (
        f"{file}: {explained.formula}\n  models: {models}\n"
        f"  {job.launch.num_processes} process(es) of {job.launch.engine}; the output folder is {job.output_dir}"
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

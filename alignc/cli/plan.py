"""`alignc plan`: estimate memory, steps and work of a job before a model is loaded."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import click

from alignc.api import Planned, planned, specs_of
from alignc.cli.options import overrides, source, spec_argument
from alignc.cli.show import show_diagnostics
from alignc.contract.exits import FINDINGS, SOUND
from alignc.plan.build import ResourcePlan
from alignc.plan.machine import parse_size
from alignc.plan.show import show

__all__ = ["command"]

COUNTS = {"k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}


@click.command("plan")
@spec_argument
@overrides
@source
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True)
@click.option(
    "--memory",
    metavar="SIZE",
    help="The memory of a process, such as 16GiB; by default the memory of this machine.",
)
@click.option(
    "--parameters",
    metavar="COUNT",
    help="Number of parameters of a model that is not on this machine, such as 0.5B.",
)
@click.option("--no-data", is_flag=True, help="Do not read the data to count rows and tokens.")
def command(
    spec: str,
    overrides: Sequence[str],
    source: str | None,
    form: str,
    memory: str | None,
    parameters: str | None,
    no_data: bool,
) -> int:
    """Estimate the memory of SPEC by phase and role, its steps, tokens and work, and print its launch command.

    The command opens no model and reads only local data. The exit code is 1 (E606) if the job cannot fit.
    """
    limit, given = _size(memory), _count(parameters)
    found = [
        planned(each, overrides, memory=limit, parameters=given, read_data=not no_data, source=source)
        for each in specs_of(spec)
    ]
    for each in found:
        show_diagnostics(each.warnings, each.texts)
    if form == "json":
        data = [_data(each.plan) for each in found]
        click.echo(json.dumps(data if len(data) > 1 else data[0], indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(show(each.plan) for each in found), nl=False)
    return _refused(found)


def _refused(found: Sequence[Planned]) -> int:
    refusals = [(each.refusal, each.texts) for each in found if each.refusal]
    for refusal, texts in refusals:
        show_diagnostics([refusal], texts)
    return FINDINGS if refusals else SOUND


def _size(text: str | None) -> int | None:
    try:
        return None if text is None else parse_size(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    number, unit = (text[:-1], COUNTS.get(text[-1:].lower())) if text[-1:].isalpha() else (text, 1)
    try:
        return int(float(number) * (unit or float("nan")))
    except ValueError:
        raise click.UsageError(f"`{text}` is not a count; write for example 0.5B or 494M") from None


def _data(plan: ResourcePlan) -> dict[str, Any]:
    data = dataclasses.asdict(plan)
    for phase, one in zip(data["phases"], plan.phases, strict=True):
        phase |= {"total": one.total, "least": one.least}
    data["sources"] = {name: _data(own) for name, own in plan.sources.items()}
    peak = {"phase": plan.peak.name, "bytes": plan.peak.total, "least": plan.peak.least}
    return {**{k: v for k, v in data.items() if v or k != "sources"}, "peak": peak}

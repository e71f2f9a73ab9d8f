"""`alignc verify`: test the claims about the loss of a spec by enumeration."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from alignc.api import lowered
from alignc.cli.options import overrides, source, spec_argument
from alignc.cli.show import show_diagnostics
from alignc.contract.exits import FINDINGS, SOUND
from alignc.verify import Claim, Verified, verify

__all__ = ["command"]


@click.command("verify")
@spec_argument
@overrides
@source
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--kl", "table", is_flag=True, help="Also test each KL estimator at each placement.")
@click.option("--plot", type=click.Path(dir_okay=False), help="Draw the gradient flow into this SVG file.")
def command(
    spec: str, overrides: Sequence[str], source: str | None, as_json: bool, table: bool, plot: str | None
) -> int:
    """Test the claims about the loss of SPEC on a policy that is small enough to enumerate.

    The expectations are exact sums in float64. The exit code is 1 if a claim fails.
    """
    if plot is not None and not plot.endswith(".svg"):
        raise click.UsageError(f"--plot writes SVG: name the file {Path(plot).stem}.svg")
    compiled = lowered(spec, overrides, files=False, source=source)
    if compiled.warnings:
        show_diagnostics(compiled.warnings, compiled.spec.document.texts)
    found = verify(compiled.spec, compiled.loss, table=table, curves=plot is not None)
    if plot is not None:
        _draw(found, plot)
    if as_json:
        click.echo(
            json.dumps({**dataclasses.asdict(found), "holds": found.holds}, indent=2, ensure_ascii=False)
        )
    else:
        _show(found)
    return SOUND if found.holds else FINDINGS


def _draw(found: Verified, file: str) -> None:
    from alignc.verify.plot import svg

    Path(file).write_text(svg(found.name, found.curves), "utf-8")


def _show(found: Verified) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(
        file=sys.stdout, width=None if sys.stdout.isatty() else 140, highlight=False, markup=False
    )
    shown = Table(title=found.name, title_justify="left", box=None, pad_edge=False)
    for name in ("", "about", "says", "found", "gap"):
        shown.add_column(name, overflow="fold")
    for claim in found.claims:
        shown.add_row(*_cells(claim))
    console.print(shown)
    for numbers in found.tables:
        beside = Table(title=numbers.title, title_justify="left", box=None, pad_edge=False)
        for name in numbers.head:
            beside.add_column(name, justify="right", overflow="fold")
        for row in numbers.rows:
            beside.add_row(*row)
        console.print(beside)
    failed = sum(c.holds is False for c in found.claims)
    held = sum(c.holds is True for c in found.claims)
    console.print(f"{held} claims hold" + (f", {failed} fail" if failed else ""))


def _cells(claim: Claim) -> tuple[str, ...]:
    mark = {True: "✓", False: "✗", None: "·"}[claim.holds]
    return mark, claim.about, claim.says, claim.found, "" if claim.gap is None else f"{claim.gap:.1e}"

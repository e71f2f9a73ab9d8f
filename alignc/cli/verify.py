"""`alignc verify`: test the claims about the loss of a spec by enumeration."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from alignc.api import lowered
from alignc.claims.verified import verified
from alignc.cli.options import overrides, source, spec_argument
from alignc.cli.show import show_diagnostics
from alignc.contract.exits import FINDINGS, SOUND
from alignc.verify import Claim, Table, Verdict, Verified

if TYPE_CHECKING:
    from rich.table import Table as RichTable

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

    The expectations are exact sums in float64.
    The exit code is 1 if a claim is refuted.
    A search that does not converge refutes nothing: its claim is undecided.
    """
    if plot is not None and not plot.endswith(".svg"):
        raise click.UsageError(f"--plot writes SVG: name the file {Path(plot).stem}.svg")
    compiled = lowered(spec, overrides, files=False, source=source)
    if compiled.warnings:
        show_diagnostics(compiled.warnings, compiled.spec.document.texts)
    found = verified(compiled, table=table, curves=plot is not None)
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
    """Print what concerns this spec, then what holds for all, then the closing lines."""
    from rich.console import Console

    console = Console(
        file=sys.stdout, width=None if sys.stdout.isatty() else 140, highlight=False, markup=False
    )
    console.print(_claims(found.name, found.claims))
    for numbers in found.tables:
        console.print(_numbers(numbers))
    if found.explained:
        console.print(_claims("what explain says", found.explained))
    if found.general:
        console.print(_claims("KL estimators at each placement", found.general))
    counts = [f"{len(found.of(Verdict.HOLDS))} claims hold"]
    counts += [f"{len(found.of(v))} {w}" for v, w in COUNTED if found.of(v)]
    console.print(", ".join(counts))
    if found.does:
        console.print(found.does)
    console.print(f"Not tried: {found.untried}.")


COUNTED = ((Verdict.REFUTED, "refuted"), (Verdict.UNDECIDED, "undecided"))
MARKS = {Verdict.HOLDS: "✓", Verdict.REFUTED: "✗", Verdict.UNDECIDED: "?", Verdict.TOLD: "·"}


def _claims(title: str, claims: Sequence[Claim]) -> RichTable:
    from rich.table import Table as RichTable

    shown = RichTable(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("", "about", "says", "found", "gap"):
        shown.add_column(name, overflow="fold")
    for claim in claims:
        gap = "" if claim.gap is None else f"{claim.gap:.1e}"
        shown.add_row(MARKS[claim.verdict], claim.about, claim.says, claim.found, gap)
    return shown


def _numbers(numbers: Table) -> RichTable:
    from rich.table import Table as RichTable

    beside = RichTable(title=numbers.title, title_justify="left", box=None, pad_edge=False)
    for name in numbers.head:
        beside.add_column(name, justify="right", overflow="fold")
    for row in numbers.rows:
        beside.add_row(*row)
    return beside

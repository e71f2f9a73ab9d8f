"""`alignc diff`: compare what two specs mean."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alignc.api import diff
from alignc.cli.codes import FINDINGS, SOUND
from alignc.diff.show import show, to_json

__all__ = ["command"]


@click.command("diff")
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@click.option("--set-a", multiple=True, metavar="X.Y=Z", help="Override a value of A.")
@click.option("--set-b", multiple=True, metavar="X.Y=Z", help="Override a value of B.")
@click.option("--source-a", metavar="NAME", help="Of several sources of rows in A, the one that is meant.")
@click.option("--source-b", metavar="NAME", help="Of several sources of rows in B, the one that is meant.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--exit-code", is_flag=True, help="Exit 1 where the losses are not equal or something changes.")
def command(
    a: str,
    b: str,
    set_a: Sequence[str],
    set_b: Sequence[str],
    source_a: str | None,
    source_b: str | None,
    form: str,
    exit_code: bool,
) -> int:
    """Compare what specs A and B mean: their losses by algebra, with a proof or a point where they part.

    The verdict holds for all inputs; what holds under conditions alone is listed beside it. Then what changes:
    terms, parameters, models, forwards, columns, metrics and settings.
    """
    found = diff(a, b, set_a, set_b, source_a=source_a, source_b=source_b)
    click.echo(to_json(found) if form == "json" else show(found, a, b), nl=False)
    same = found.verdict == "equal" and not found.conditions and not found.changes
    return FINDINGS if exit_code and not same else SOUND

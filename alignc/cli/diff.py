"""`alignc diff`: compare the meaning of two specs."""

from __future__ import annotations

from collections.abc import Sequence

import click

from alignc.api import diff
from alignc.contract.exits import FINDINGS, SOUND, UNDECIDED
from alignc.diff.show import show, to_json

__all__ = ["command"]


@click.command("diff")
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@click.option("--set-a", multiple=True, metavar="X.Y=Z", help="Override a value of A.")
@click.option("--set-b", multiple=True, metavar="X.Y=Z", help="Override a value of B.")
@click.option("--source-a", metavar="NAME", help="The source of rows to compare, if A has several.")
@click.option("--source-b", metavar="NAME", help="The source of rows to compare, if B has several.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--exit-code",
    is_flag=True,
    help="Exit 1 if the losses are not equal or if anything changes, and 5 if the verdict is `undecided`.",
)
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
    """Compare the meaning of specs A and B.

    The losses are compared by algebra. The result is a proof that they are equal, or a point where they differ.
    Without a proof and without such a point, the verdict is `undecided`. The verdict holds for all inputs. An
    equality that needs a condition is listed with its condition. The command then lists each change of a term,
    parameter, model, forward pass, column, metric or setting.
    """
    found = diff(a, b, set_a, set_b, source_a=source_a, source_b=source_b)
    click.echo(to_json(found) if form == "json" else show(found, a, b), nl=False)
    if exit_code and found.verdict == "undecided":
        return UNDECIDED
    same = found.verdict == "equal" and not found.conditions and not found.changes
    return FINDINGS if exit_code and not same else SOUND

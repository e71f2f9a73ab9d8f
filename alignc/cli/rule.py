"""`alignc rule`: say what a diagnostic's code means."""

from __future__ import annotations

import click

from alignc.diagnostics import CODES, did_you_mean

__all__ = ["command"]


@click.command("rule")
@click.argument("code")
def command(code: str) -> None:
    """Say what CODE means, why it matters and what to do about it."""
    found = CODES.get(code.upper())
    if found is None:
        guess = did_you_mean(code.upper(), CODES)
        raise click.UsageError(f"no code `{code}`" + (f"; did you mean `{guess}`?" if guess else ""))
    click.echo(f"{found.code}: {found.title}\n\nwhy:  {found.why}\nhelp: {found.help}")
    if found.example:
        click.echo("\nexample:\n" + "\n".join(f"    {line}" for line in found.example.splitlines()))

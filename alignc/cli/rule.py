"""`alignc rule`: explain the code of a diagnostic."""

from __future__ import annotations

import click

from alignc.diagnostics import CODES, did_you_mean

__all__ = ["command"]


@click.command("rule")
@click.argument("code")
def command(code: str) -> None:
    """Print the meaning, the reason and the remedy of the diagnostic CODE."""
    found = CODES.get(code.upper())
    if found is None:
        guess = did_you_mean(code.upper(), CODES)
        raise click.UsageError(f"there is no code `{code}`" + (f"; did you mean `{guess}`?" if guess else ""))
    click.echo(f"{found.code}: {found.title}\n\nwhy:  {found.why}\nhelp: {found.help}")
    if found.example:
        click.echo("\nexample:\n" + "\n".join(f"    {line}" for line in found.example.splitlines()))

"""`alignc compile`: write the training job of a spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from alignc.api import lowered
from alignc.cli.options import overrides, spec_argument
from alignc.cli.show import show_diagnostics
from alignc.emit import write

__all__ = ["command"]


@click.command("compile")
@spec_argument
@overrides
@click.option("-o", "--output", type=click.Path(file_okay=False), required=True, help="Folder of the job.")
@click.option(
    "--standalone", is_flag=True, help="Bring the runtime along: runs where alignc is not installed."
)
def command(spec: str, overrides: Sequence[str], output: str, standalone: bool) -> None:
    """Write the training job of SPEC: loop, loss, settings, launcher files. The same spec gives the same bytes."""
    compiled = lowered(spec, overrides, files=False)
    if compiled.warnings:
        show_diagnostics(compiled.warnings, compiled.spec.document.texts)
    folder = compiled.folder(standalone=standalone)
    write(folder, Path(output))
    click.echo(f"{output}: {', '.join(name for name in folder.files if '/' not in name)}")

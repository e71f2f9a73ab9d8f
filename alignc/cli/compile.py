"""`alignc compile`: write the training job of a spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from alignc.api import built, specs_of
from alignc.cli.options import overrides, spec_argument
from alignc.cli.show import show_diagnostics
from alignc.emit import write

__all__ = ["command"]


@click.command("compile")
@spec_argument
@overrides
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False),
    required=True,
    help="The folder that the job is written into.",
)
@click.option(
    "--standalone",
    is_flag=True,
    help="Copy the runtime into the job, so that the job runs where alignc is not installed.",
)
def command(spec: str, overrides: Sequence[str], output: str, standalone: bool) -> None:
    """Write the training job of SPEC: the loop, the loss, the settings and the files for the launcher.

    The same spec gives the same bytes. For a pipeline, each stage is written into a folder of its own name.
    """
    specs = specs_of(spec)
    for each in specs:
        compiled = built(each, overrides, files=False)
        if compiled.warnings:
            show_diagnostics(compiled.warnings, compiled.spec.document.texts)
        folder = compiled.folder(standalone=standalone)
        target = Path(output) / compiled.spec.job.name if len(specs) > 1 else Path(output)
        write(folder, target)
        click.echo(f"{target}: {', '.join(name for name in folder.files if '/' not in name)}")

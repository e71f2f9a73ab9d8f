"""`alignc validate`: check specs without opening data or models."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from alignc.api import validate
from alignc.cli.options import overrides, specs_argument
from alignc.cli.show import colored
from alignc.contract.exits import FINDINGS, SOUND
from alignc.diagnostics import render

__all__ = ["command"]

FORMATS = ("full", "json", "github", "sarif")


@click.command("validate")
@specs_argument
@overrides
@click.option(
    "--output-format", type=click.Choice(FORMATS), help="By default `github` in GitHub Actions, else `full`."
)
@click.option("--strict", is_flag=True, help="Count warnings as errors.")
def command(specs: Sequence[str], overrides: Sequence[str], output_format: str | None, strict: bool) -> int:
    """Check types, names, ranges, units and soundness of SPECS (files, or folders of files).

    The command opens no data and no model. The exit code is 1 if there is an error.
    """
    files = [file for spec in specs for file in _files(spec)]
    reports = [validate(file, overrides, files) for file in files]
    found = [d for report in reports for d in report.diagnostics]
    texts = {name: text for report in reports for name, text in report.texts.items()}
    chosen = output_format or ("github" if os.environ.get("GITHUB_ACTIONS") == "true" else "full")
    color = chosen == "full" and colored(sys.stdout)
    click.echo(render(found, chosen, specs=len(files), color=color, sources=texts), nl=False)  # type: ignore[arg-type]
    wrong = found if strict else [d for d in found if d.severity == "error"]
    return FINDINGS if wrong else SOUND


def _files(spec: str) -> list[str]:
    if not os.path.isdir(spec):
        return [spec]
    files = sorted(str(p) for p in Path(spec).iterdir() if p.suffix in (".yaml", ".yml"))
    if not files:
        raise click.UsageError(f"the folder `{spec}` holds no spec (*.yaml, *.yml)")
    return files

"""Print findings to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from alignc.diagnostics import Diagnostic, Span, render

__all__ = ["colored", "show_diagnostics", "show_failure"]

SHOWN = 20
"""The largest number of findings that are shown before a failure; a file may have thousands of bad rows."""


def colored(stream: Any) -> bool:
    """Return whether output is coloured: the stream is a terminal and NO_COLOR is not set."""
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR")


def show_diagnostics(diagnostics: Iterable[Diagnostic], texts: Mapping[str, str] | None = None) -> None:
    """Print findings to stderr, each with its source line."""
    found = list(diagnostics)
    sources = texts if texts is not None else _texts(found)
    click.echo(render(found, "full", color=colored(sys.stderr), sources=sources), err=True, nl=False)


def _texts(found: list[Diagnostic]) -> dict[str, str]:
    texts = {}
    for name in {d.span.file for d in found}:
        try:
            texts[name] = Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
    return texts


def show_failure(failure: Any) -> None:
    """Print a failure of the runtime, and the first findings that led to the failure."""
    found = [diagnostic(d) for d in failure.diagnostics()]
    show_diagnostics([*found[:-1][:SHOWN], found[-1]])
    if len(found) > SHOWN + 1:
        click.echo(f"and {len(found) - 1 - SHOWN} more like these", err=True)


def diagnostic(data: Mapping[str, Any]) -> Diagnostic:
    """Read a finding back from its JSON form."""
    line, column = data.get("line") or 1, data.get("column") or 1
    end = (data.get("end_line") or line, data.get("end_column") or column)
    span = Span(data.get("file") or "", line, column, *end)
    return Diagnostic(data["code"], data["message"], span, data.get("why"), data.get("help"))

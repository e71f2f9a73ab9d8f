"""Findings as workflow commands of GitHub Actions, which shows findings beside the changed lines."""

from __future__ import annotations

from collections.abc import Sequence

from alignc.diagnostics.codes import help_of, why_of
from alignc.diagnostics.model import Diagnostic


def render_github(diagnostics: Sequence[Diagnostic]) -> str:
    """Return one command for each finding; each command is one line."""
    return "".join(_command(found) + "\n" for found in diagnostics)


def _command(found: Diagnostic) -> str:
    span = found.span
    properties = {
        "file": span.file,
        "line": span.line,
        "col": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
        "title": f"alignc {found.code}",
    }
    listed = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    lines = [found.message]
    lines += [
        f"{label}: {text}" for label, text in (("why", why_of(found)), ("help", help_of(found))) if text
    ]
    return f"::{found.severity} {listed}::{_data(chr(10).join(lines))}"


def _data(text: str) -> str:
    # actions/toolkit, command.ts, escapeData.
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    # actions/toolkit, command.ts, escapeProperty.
    return _data(text).replace(":", "%3A").replace(",", "%2C")


__all__ = ["render_github"]

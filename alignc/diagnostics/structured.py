"""Findings as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from alignc.diagnostics.codes import help_of, why_of
from alignc.diagnostics.model import Diagnostic, count


def as_dict(found: Diagnostic) -> dict[str, Any]:
    """Return a finding as plain data, with its reason and its help."""
    span = found.span
    return {
        "code": found.code,
        "severity": found.severity,
        "message": found.message,
        "why": why_of(found),
        "help": help_of(found),
        "file": span.file,
        "line": span.line,
        "column": span.column,
        "end_line": span.end_line,
        "end_column": span.end_column,
    }


def render_json(diagnostics: Sequence[Diagnostic], *, specs: int | None) -> str:
    """Return one object: the findings and their counts."""
    errors, warnings = count(diagnostics)
    shown = [as_dict(found) for found in diagnostics]
    report = {"diagnostics": shown, "specs": specs or 0, "errors": errors, "warnings": warnings}
    # A file name may hold bytes that are not UTF-8; escapes keep the output printable whatever it is.
    return json.dumps(report, indent=2, ensure_ascii=not _encodable(report)) + "\n"


def _encodable(report: object) -> bool:
    try:
        json.dumps(report, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


__all__ = ["as_dict", "render_json"]

"""A finding: a place in a file, a code, and texts for the reader."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, order=True)
class Span:
    """A stretch of a file: lines and columns count from 1, columns in code points, the end is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    @classmethod
    def at(cls, file: str, line: int = 1, column: int = 1) -> Span:
        """Return the empty span at one point of `file`; the default point is its start."""
        return cls(file, line, column, line, column)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Diagnostic:
    """One finding; if `why` or `help` is None, the text of the code is shown instead."""

    code: str
    message: str
    span: Span
    why: str | None = None
    help: str | None = None

    @property
    def severity(self) -> Severity:
        """Return `warning` for a code that starts with W, else `error`."""
        return "warning" if self.code.startswith("W") else "error"

    def __str__(self) -> str:
        return f"{self.span}: {self.severity}[{self.code}]: {self.message}"


class DiagnosticError(Exception):
    """The exception of a stage that cannot continue; it carries all findings of the stage."""

    diagnostics: tuple[Diagnostic, ...]

    def __init__(self, diagnostics: Diagnostic | Iterable[Diagnostic]) -> None:
        single = isinstance(diagnostics, Diagnostic)
        self.diagnostics = (diagnostics,) if single else tuple(diagnostics)  # type: ignore[arg-type,assignment]
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        return "\n".join(map(str, self.diagnostics))


def in_reading_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Sort findings by file, place and code."""
    return tuple(sorted(diagnostics, key=lambda found: (found.span, found.code, found.message)))


def count(diagnostics: Iterable[Diagnostic]) -> tuple[int, int]:
    """Count (errors, warnings)."""
    levels = [found.severity for found in diagnostics]
    return levels.count("error"), levels.count("warning")


__all__ = ["Diagnostic", "DiagnosticError", "Severity", "Span", "count", "in_reading_order"]

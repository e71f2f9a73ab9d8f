"""What stops a run: one exception with a code, a reason, a way out and the place where it began."""

from __future__ import annotations

from typing import Any

from .exits import ENVIRONMENT, FAILED, FINDINGS

__all__ = ["Failure"]

_EXIT_CODES = {"E6": ENVIRONMENT, "E7": FINDINGS}


class Failure(Exception):  # noqa: N818 - it is a diagnostic first; "Error" would say less
    """Stop a run with a diagnostic.

    ``code`` is a row of the table of diagnostics; ``file`` with ``line`` and ``column`` (from 1) is the
    user's own place, where there is one; ``causes`` are diagnostics of their own that led to this one (every
    bad row of a file). The exit code follows from the code: bad rows 1, an environment that can't 3, a run
    that failed 4; ``exit_code`` overrides it (`RESUMABLE` for a run that was interrupted).
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        why: str | None = None,
        help: str | None = None,  # noqa: A002 - the word of the diagnostics
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
        causes: tuple[Failure, ...] = (),
        exit_code: int | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code, self.message, self.why, self.help = code, message, why, help
        self.file, self.line, self.column = file, line, column
        self.causes = causes
        self.exit_code = _EXIT_CODES.get(code[:2], FAILED) if exit_code is None else exit_code

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    def as_dict(self) -> dict[str, Any]:
        """Return this diagnostic in the shape that ``validate --output-format json`` prints."""
        return {
            "code": self.code,
            "severity": "warning" if self.code.startswith("W") else "error",
            "message": self.message,
            "why": self.why,
            "help": self.help,
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "end_line": self.line,
            "end_column": None if self.column is None else self.column + 1,
        }

    def diagnostics(self) -> list[dict[str, Any]]:
        """Return the causes, then this diagnostic, each as ``as_dict`` gives it."""
        return [cause.as_dict() for cause in self.causes] + [self.as_dict()]

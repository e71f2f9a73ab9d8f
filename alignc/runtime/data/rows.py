"""A row as it stands in its source, and the place it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from ...contract.failure import Failure

__all__ = ["Row"]


@dataclass(frozen=True)
class Row:
    """One object of a source: its fields by name, and where it stands.

    ``line`` is the line of a text file, or the number of the row (from 1) where a source has no lines.
    """

    fields: Mapping[str, Any]
    file: str
    line: int
    numbered: bool = False

    @property
    def textual(self) -> bool:
        """Whether every value is a text: those of a table in a text file are."""
        return self.file.lower().removesuffix(".gz").endswith((".csv", ".tsv"))

    @property
    def origin(self) -> str:
        """Name the place: "pairs.jsonl:18", "pairs.parquet#18" or "ID[train]#18"."""
        name = self.file if "[" in self.file else PurePath(self.file).name
        return f"{name}{'#' if self.numbered else ':'}{self.line}"

    def failure(self, code: str, message: str, help: str | None = None) -> Failure:  # noqa: A002
        """Build the diagnostic that points at this row."""
        return Failure(code, message, help=help, file=self.file, line=self.line)

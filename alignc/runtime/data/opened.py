"""Open files that may be packed with gzip."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import IO, Any

__all__ = ["opened", "suffix_of"]


def opened(path: Path, encoding: str | None = None) -> IO[Any]:
    """Open a file, unpacked: as bytes, or as text whose line ends stay as they are."""
    packed = path.name.lower().endswith(".gz")
    mode = "rb" if encoding is None else "rt"
    line_end = None if encoding is None else ""
    opener: Any = gzip.open if packed else open
    file: IO[Any] = opener(path, mode, encoding=encoding, newline=line_end)
    return file


def suffix_of(path: Path) -> str:
    """Return the suffix that decides the format, in lower case; that of gzip does not."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix

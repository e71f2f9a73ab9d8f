"""File look-ups that raise no exception for strange names."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["exists", "is_file", "real"]


def exists(path: str | Path) -> bool:
    """Return whether a file or folder exists at a path."""
    return os.path.exists(path)


def is_file(path: str | Path) -> bool:
    """Return whether a file exists at a path."""
    return os.path.isfile(path)


def real(path: str | Path) -> Path:
    """Resolve the links of a path; an invalid path is returned unchanged."""
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):
        return Path(path)

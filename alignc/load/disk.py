"""Look for files under names that a person wrote: no name, however odd, is an exception."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["exists", "is_file", "real"]


def exists(path: str | Path) -> bool:
    """Tell whether there is anything at a path."""
    return os.path.exists(path)


def is_file(path: str | Path) -> bool:
    """Tell whether there is a file at a path."""
    return os.path.isfile(path)


def real(path: str | Path) -> Path:
    """Follow links to what a path stands for; a name that cannot be one stays as it is."""
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):
        return Path(path)

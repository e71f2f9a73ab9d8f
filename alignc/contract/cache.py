"""The folder of caches, which jobs share and `doctor` examines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["PROBES", "cache_folder", "user_caches"]

PROBES = "probes"
"""The folder of verdicts on kinds of models."""


def cache_folder(variables: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of alignc's caches: `$ALIGNC_CACHE`, else a folder among the user's caches."""
    own = variables.get("ALIGNC_CACHE")
    return Path(own) if own else user_caches(variables) / "alignc"


def user_caches(variables: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the user's caches: `$XDG_CACHE_HOME`, else `~/.cache`."""
    base = variables.get("XDG_CACHE_HOME")
    return Path(base) if base else Path.home() / ".cache"

"""Lines for people, on stderr."""

from __future__ import annotations

import os
import sys

from ...contract.environment import LAUNCHED

__all__ = ["say"]

MARK = "\x1e"
"""The launcher shows the lines that begin with it, and keeps the rest for run.log."""


def say(text: str) -> None:
    """Print a line for people on stderr."""
    mark = MARK if LAUNCHED in os.environ else ""
    print(f"{mark}{text}", file=sys.stderr, flush=True)

"""The command line: each command parses its arguments, prints a result and returns an exit code."""

from __future__ import annotations

from alignc.cli.main import main

__all__ = ["main"]

"""The command line: parse arguments, print, set exit codes, decide nothing."""

from __future__ import annotations

from alignc.cli.main import main

__all__ = ["main"]

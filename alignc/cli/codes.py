"""Exit codes."""

from __future__ import annotations

__all__ = ["ENVIRONMENT", "FAILED", "FINDINGS", "INTERRUPTED", "RESUMABLE", "SOUND", "USAGE"]

SOUND, FINDINGS, USAGE, ENVIRONMENT, FAILED = 0, 1, 2, 3, 4
RESUMABLE, INTERRUPTED = 75, 130

"""The exit codes of commands and of jobs."""

from __future__ import annotations

__all__ = [
    "ENDED_WELL",
    "ENVIRONMENT",
    "FAILED",
    "FINDINGS",
    "INTERRUPTED",
    "RESUMABLE",
    "SOUND",
    "UNDECIDED",
    "USAGE",
]

SOUND, FINDINGS, USAGE, ENVIRONMENT, FAILED = 0, 1, 2, 3, 4
UNDECIDED = 5
"""`diff --exit-code` found neither a proof nor a point where two losses part."""
RESUMABLE = 75
"""SIGTERM came, and the job saved a checkpoint."""
INTERRUPTED = 130
"""SIGINT came."""
ENDED_WELL = frozenset({SOUND, RESUMABLE, INTERRUPTED})
"""The codes of a job that came to its end, or stopped because it was asked to."""

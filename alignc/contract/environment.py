"""The environment variables that the launcher hands to the job."""

from __future__ import annotations

__all__ = ["ALLOWED", "FOLDERS", "LAUNCHED"]

ALLOWED = "ALIGNC_ALLOW"
"""Names of functions and hosts, with spaces between; `alignc run` writes it from `alignc.toml` and its flags."""
FOLDERS = "ALIGNC_FUNCTIONS"
"""Folders where modules are looked for after the working directory: those of the specs."""
LAUNCHED = "ALIGNC_LAUNCHED"
"""Set where `alignc run` started the job, and reads its output."""

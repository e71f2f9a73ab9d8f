"""The generated references: every page is built from what the compiler itself reads."""

from __future__ import annotations

from alignc.docs.pages import generated, stale, write

__all__ = ["generated", "stale", "write"]

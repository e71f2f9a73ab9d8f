"""One row of the table of codes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """The meaning of a code; the message of a finding names the actual values.

    `example` is the smallest spec fragment, data row or situation that leads to the code.
    """

    code: str
    title: str
    why: str
    help: str
    example: str

    @property
    def waivable(self) -> bool:
        """Return whether a comment may waive it: warnings, and errors of soundness and sign (E2xx, E3xx, E5xx)."""
        return self.code.startswith(("W", "E2", "E3", "E5"))


__all__ = ["Code"]

"""One row of the table of codes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Code:
    """What a code stands for, in general; a finding's own message names the values at hand.

    `example` is the smallest spec fragment, data row or situation that earns the code.
    """

    code: str
    title: str
    why: str
    help: str
    example: str

    @property
    def waivable(self) -> bool:
        """Say whether a comment may silence it: warnings, and errors of soundness and sign (E2xx, E3xx, E5xx)."""
        return self.code.startswith(("W", "E2", "E3", "E5"))


__all__ = ["Code"]

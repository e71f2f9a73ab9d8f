"""Compare what two preference losses state: does one entail the other?"""

from __future__ import annotations

from alignc.diff.model import Strictness
from alignc.diff.sides import Side

__all__ = ["strictness"]


def strictness(a: Side, b: Side) -> Strictness | None:
    """Compare the statements of two preference losses; None for other losses."""
    return None

"""Which rows are held out: a pure function of the row's index and the seed."""

from __future__ import annotations

from ..base.seeds import derive

__all__ = ["held_out"]

_RANGE = 2**63  # of ``derive``


def held_out(index: int, seed: int, fraction: float) -> bool:
    """Tell whether the source's row ``index`` is held out, as about ``fraction`` of all rows are."""
    return derive(seed, "held-out", index) < fraction * _RANGE

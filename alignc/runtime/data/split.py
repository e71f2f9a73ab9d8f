"""Which rows are held out: a pure function of the row's index and the seed."""

from __future__ import annotations

from hashlib import sha256

__all__ = ["held_out"]


def held_out(index: int, seed: int, fraction: float) -> bool:
    """Tell whether the source's row ``index`` is held out, as about ``fraction`` of all rows are."""
    digest = sha256(f"held-out:{seed}:{index}".encode()).digest()
    return int.from_bytes(digest[:8]) < fraction * 2**64

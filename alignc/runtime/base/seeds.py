"""Randomness keyed by its purpose (seed, epoch, step, row, use) through a hash: no global state."""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["derive", "permutation"]


def derive(seed: int, *parts: int | str) -> int:
    """Derive a 63-bit seed from the job's seed and the purpose it serves."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def permutation(count: int, key: int) -> np.ndarray:
    """Shuffle ``range(count)`` by a key.

    Sorts Philox's raw stream, which numpy promises never to change; its ``permutation`` has no such promise.
    """
    return np.argsort(np.random.Philox(key=key).random_raw(count), kind="stable")

"""Sizes that bound the memory of a job: `plan` counts with them, and the kernels cut by them."""

from __future__ import annotations

__all__ = ["CHUNK_TOKENS", "KEEP_BYTES", "TILE_BYTES"]

KEEP_BYTES = 256 * 2**20
"""Most bytes of logits that one call keeps for its backward; above it, tiles are dropped and made again."""
TILE_BYTES = 32 * 2**20
"""A tile's logits; larger ones leave the last cache level and gain nothing."""
CHUNK_TOKENS = 16_384
"""Tokens of a chunk of the pass that scores all rows by the reference."""

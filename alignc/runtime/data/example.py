"""A row as token ids, ready for a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Example", "Tokens"]

Tokens = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Example:
    """One row: a prompt's tokens, and those of each response to it.

    ``prompt`` is never empty and begins with BOS where the tokenizer puts one; ``responses`` stand in the
    order that the objective names them (chosen, rejected), each non-empty, ending with EOS unless it was
    cut. ``columns`` holds a number of the row or of one response, or a number for each response of a group.
    ``origin`` is "pairs.jsonl:18" or "ID[train]#18"; ``row`` counts the kept rows from 0.
    """

    row: int
    origin: str
    prompt: Tokens
    responses: tuple[Tokens, ...]
    columns: Mapping[str, float | tuple[float, ...]] = field(default_factory=dict)

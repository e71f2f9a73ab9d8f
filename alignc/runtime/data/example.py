"""A row as token ids, ready for a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Column", "Example", "Tokens"]

Tokens = NDArray[np.int32]
Column = float | tuple[float, ...] | tuple[NDArray[np.floating[Any]], ...]
"""A number of a row or of one response, one for each response of a group, or one for each token of each."""


@dataclass(frozen=True, eq=False)
class Example:
    """One row: a prompt's tokens, and those of each response to it.

    ``prompt`` is never empty and begins with BOS where the tokenizer puts one; ``responses`` stand in the
    order that the objective names them (chosen, rejected), each non-empty, ending with EOS unless it was
    cut. ``origin`` is "pairs.jsonl:18" or "ID[train]#18"; ``row`` counts the kept rows from 0.
    """

    row: int
    origin: str
    prompt: Tokens
    responses: tuple[Tokens, ...]
    columns: Mapping[str, Column] = field(default_factory=dict)

"""KTO's mismatched completions: every row also gets a response that was written to another row's prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...contract.failure import Failure
from ..base.seeds import derive, permutation
from .example import Example

__all__ = ["with_mismatched"]


def with_mismatched(examples: Sequence[Example], seed: int, max_length: int | None) -> tuple[Example, ...]:
    """Add to each row a response of the next row of a fixed permutation, cut on the right to fit.

    The permutation depends on the seed and the number of rows alone, so that reference log-probabilities stay
    cached when rows are shuffled. Of a pair's responses, rows take the first and the second in turn.
    Failure E707 for a single row.
    """
    if len(examples) == 1:
        raise Failure(
            "E707", "the reference point needs completions of other rows, but there is only one row"
        )
    order = permutation(len(examples), derive(seed, "mismatched"))
    partner = np.empty(len(examples), dtype=np.int64)
    partner[order] = np.roll(order, -1)
    return tuple(_extended(e, examples[partner[i]], i, max_length) for i, e in enumerate(examples))


def _extended(example: Example, other: Example, place: int, max_length: int | None) -> Example:
    response = other.responses[place % len(other.responses)]
    if max_length is not None:
        response = response[: max(1, max_length - len(example.prompt))]
    return replace(example, responses=(*example.responses, response))

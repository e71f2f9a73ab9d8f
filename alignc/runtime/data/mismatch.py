"""KTO's mismatched completions: every row also gets a response that was written to another row's prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import overload

import numpy as np
from numpy.typing import NDArray

from ...contract.failure import Failure
from ..base.seeds import derive, permutation
from .example import Example

__all__ = ["with_mismatched"]


def with_mismatched(examples: Sequence[Example], seed: int, max_length: int | None) -> Sequence[Example]:
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
    return _Mismatched(examples, partner, max_length)


class _Mismatched(Sequence[Example]):
    """Rows with a response of their partner, made when they are asked for."""

    def __init__(
        self, examples: Sequence[Example], partner: NDArray[np.int64], max_length: int | None
    ) -> None:
        self.examples, self.partner, self.max_length = examples, partner, max_length

    def __len__(self) -> int:
        return len(self.examples)

    @overload
    def __getitem__(self, row: int) -> Example: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[Example]: ...
    def __getitem__(self, row: int | slice) -> Example | Sequence[Example]:
        if isinstance(row, slice):
            return [self[place] for place in range(*row.indices(len(self)))]
        place = row + len(self) if row < 0 else row
        example = self.examples[place]
        return _extended(example, self.examples[int(self.partner[place])], place, self.max_length)


def _extended(example: Example, other: Example, place: int, max_length: int | None) -> Example:
    response = other.responses[place % len(other.responses)]
    if max_length is not None:
        response = response[: max(1, max_length - len(example.prompt))]
    return replace(example, responses=(*example.responses, response))

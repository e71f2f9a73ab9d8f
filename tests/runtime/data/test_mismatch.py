"""KTO's mismatched completions."""

from __future__ import annotations

import numpy as np
import pytest

from alignc.contract.failure import Failure
from alignc.runtime.data.example import Example
from alignc.runtime.data.mismatch import with_mismatched


def rows(count: int, responses: int = 1) -> list[Example]:
    """Rows whose every token names the row and the response: row 3's second response is [31, 31]."""
    return [
        Example(i, f"f:{i}", np.array([1]), tuple(np.array([10 * i + r] * 2) for r in range(responses)))
        for i in range(count)
    ]


def donor(example: Example) -> int:
    return int(example.responses[-1][0]) // 10


@pytest.mark.parametrize("count", [2, 3, 17])
def test_every_row_gets_another_rows_completion_and_every_completion_is_used_once(count: int) -> None:
    mixed = with_mismatched(rows(count), seed=5, max_length=None)
    assert all(donor(e) != e.row for e in mixed)
    assert sorted(donor(e) for e in mixed) == list(range(count))


def test_it_depends_on_the_seed_alone() -> None:
    first = [donor(e) for e in with_mismatched(rows(40), 5, None)]
    assert first == [donor(e) for e in with_mismatched(rows(40), 5, None)]
    assert first != [donor(e) for e in with_mismatched(rows(40), 6, None)]


def test_pairs_lend_their_first_and_second_response_in_turn() -> None:
    mixed = with_mismatched(rows(4, responses=2), 5, None)
    assert [int(e.responses[-1][0]) % 10 for e in mixed] == [0, 1, 0, 1]
    assert all(len(e.responses) == 3 for e in mixed)


def test_it_is_cut_on_the_right_and_never_empty() -> None:
    assert all(len(e.responses[-1]) == 1 for e in with_mismatched(rows(3), 5, max_length=2))
    assert all(len(e.responses[-1]) == 1 for e in with_mismatched(rows(3), 5, max_length=1))


def test_one_row_has_no_other() -> None:
    with pytest.raises(Failure) as caught:
        with_mismatched(rows(1), 5, None)
    assert caught.value.code == "E707"

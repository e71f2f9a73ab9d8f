"""The sweep counts what was held, what is undecided and what failed, and each checker of it finds a false statement."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from alignc.diff import Difference

from .properties import Case
from .stated import STATED, Undecided, mirrored
from .sweep import SHARES, Ledger, chunk, summed
from .tally import examined


def told(case: Case) -> Iterator[str]:
    """Fail the even seeds, and leave the odd ones undecided."""
    yield Undecided("open") if case.drawn.seed % 2 else "false"


def test_a_failure_and_what_is_undecided_are_counted() -> None:
    ledger = Ledger()
    found = list(examined(range(12), {"told": ledger.around("told", told)}))
    sound = [o.seed for o in found if not o.codes]
    count = ledger.counts["told"]
    assert (count.tried, count.undecided, count.held) == (len(sound), sum(s % 2 for s in sound), 0)
    assert count.failed == [s for s in sound if s % 2 == 0] == [o.seed for o in found if o.failures] != []


def test_a_property_that_raises_is_a_failure() -> None:
    def raises(case: Case) -> Iterator[str]:
        raise KeyError(case.drawn.seed)
        yield ""

    ledger = Ledger()
    found = list(examined(range(6), {"told": ledger.around("told", raises)}))
    assert ledger.counts["told"].failed == [o.seed for o in found if o.failures] != []


def test_chunks_add_up() -> None:
    one, two = chunk(0, 3), chunk(3, 3)
    sums = summed([one, two])
    assert (sums["first"], sums["last"], sums["seeds"]) == (0, 5, 6)
    assert sums["sound"] + sums["refused"] == 6
    assert sums["properties"]["commands"]["failed"] == []
    assert set(SHARES) < set(sums["properties"])
    assert set(STATED) < set(sums["properties"])


SAME = Difference("equal", 2.0, None, (), (), (), (), None)


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({"factor": 0.5}, 0),
        ({"factor": 2.0}, 1),
        ({"factor": None}, 1),
        ({"factor": 0.5, "verdict": "different"}, 1),
    ],
)
def test_an_answer_that_depends_on_the_order_is_found(change: dict[str, object], lines: int) -> None:
    assert len(list(mirrored(SAME, dataclasses.replace(SAME, **change)))) == lines  # type: ignore[arg-type]

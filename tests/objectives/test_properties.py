"""What holds of random objectives. The failures of a seed are shown by `python -m tests.objectives SEED`."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from .properties import EXACT, Property
from .tally import examined
from .tensors import EMITTED

AGREE, HELD, TORCH, LONG = 400, 100, 40, 10_000
PARTS = 4


def held(first: int, count: int, properties: Mapping[str, Property]) -> None:
    outcomes = list(examined(range(first, first + count), properties))
    assert [(o.seed, f.kind, f.what) for o in outcomes for f in o.failures] == []
    assert sum(o.sound for o in outcomes) > count / 3


@pytest.mark.parametrize("part", range(PARTS))
def test_the_commands_agree(part: int) -> None:
    """`validate` refuses what `explain` refuses, at the same places, and neither crashes."""
    held(part * AGREE // PARTS, AGREE // PARTS, {})


def test_what_is_said_of_the_loss_holds() -> None:
    """Gradients, LaTeX and the folder."""
    held(AGREE, HELD, EXACT)


def test_the_emitted_loss_is_the_graph() -> None:
    held(AGREE + HELD, TORCH, EMITTED)


@pytest.mark.long
@pytest.mark.parametrize("part", range(10))
def test_other_seeds(part: int) -> None:
    held(LONG + 500 * part, 500, {**EXACT, **EMITTED})

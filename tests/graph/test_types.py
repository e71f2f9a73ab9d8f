"""Axes: which contains which, and how a value of each lies in a tensor."""

from __future__ import annotations

import pytest

from alignc.graph.types import (
    BATCH,
    CONSTANT,
    GROUP,
    SEQUENCE,
    Axis,
    AxisKind,
    GraphTypeError,
    join_axes,
    response_axis,
    token_axis,
)

CHOSEN, GROUPED = token_axis("chosen"), token_axis("completions")
AXES = (CONSTANT, BATCH, SEQUENCE, GROUP, CHOSEN, GROUPED)


@pytest.mark.parametrize("axis", AXES, ids=str)
def test_a_coarser_axis_spreads_over_a_finer_one(axis: Axis) -> None:
    place = AXES.index(axis)
    for other in AXES[: place + 1]:
        if (other, axis) not in ((GROUP, CHOSEN), (CHOSEN, GROUPED)):
            assert join_axes(axis, other) == join_axes(other, axis) == axis


@pytest.mark.parametrize("pair", [(GROUP, CHOSEN), (CHOSEN, GROUPED), (CHOSEN, token_axis("rejected"))])
def test_axes_that_do_not_contain_one_another_are_not_combined(pair: tuple[Axis, Axis]) -> None:
    for left, right in (pair, pair[::-1]):
        with pytest.raises(GraphTypeError, match="cannot combine"):
            join_axes(left, right)


@pytest.mark.parametrize(("axis", "dimensions"), [*zip(AXES, (0, 0, 1, 2, 2, 3), strict=True)], ids=str)
def test_the_dimensions_of_a_tensor_follow_from_the_axis(axis: Axis, dimensions: int) -> None:
    assert axis.dimensions == dimensions


def test_an_axis_reads_as_its_kind_and_response() -> None:
    assert [str(a) for a in AXES] == [
        "constant",
        "batch",
        "sequence",
        "group",
        "token:chosen",
        "token:completions",
    ]
    assert set(AxisKind) == {a.kind for a in AXES}


def test_the_tokens_of_a_response_reduce_to_the_axis_of_the_response() -> None:
    assert response_axis("chosen") == SEQUENCE
    assert response_axis("completions") == GROUP

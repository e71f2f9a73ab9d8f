"""Steps, epochs and rollouts, counted one by one against the arithmetic that `plan` and the loop share."""

from __future__ import annotations

from itertools import pairwise

import pytest

from alignc.contract.schedule import RolloutSteps, rollout_steps, row_steps, rows_per_step


def walked(schedule: RolloutSteps) -> tuple[int, int]:
    """Walk through the run: rollout by rollout, epoch by epoch, step by step."""
    step = rollout = start = 0
    while step < schedule.total_steps:
        held = min(schedule.width, schedule.prompts - start)
        start = (start + held) % schedule.prompts
        for _ in range(schedule.epochs):
            for _ in range(0, held, schedule.size):
                step += step < schedule.total_steps
        rollout += 1
    return step, rollout


@pytest.mark.parametrize("limit", [None, 1, 7, 23])
@pytest.mark.parametrize("iterations", [None, 2])
@pytest.mark.parametrize(("prompts", "size"), [(10, 2), (9, 4), (1, 3), (7, 7)])
def test_a_run_takes_as_many_rollouts_as_a_walk(
    prompts: int, size: int, iterations: int | None, limit: int | None
) -> None:
    schedule = rollout_steps(
        prompts, size, minibatches=2, rollout_epochs=3, passes=1.5, iterations=iterations, limit=limit
    )
    assert (schedule.total_steps, schedule.rollouts) == walked(schedule)
    before = [schedule.steps_before(rollout) for rollout in range(1, 9)]
    assert [later - now for now, later in pairwise(before)] == [schedule.steps_of(n) for n in range(1, 8)]


def test_a_limit_cuts_self_play_short_and_never_prolongs_it() -> None:
    def steps(limit: int | None) -> int:
        return rollout_steps(
            4, 2, minibatches=1, rollout_epochs=1, passes=9.0, iterations=3, limit=limit
        ).total_steps

    assert [steps(None), steps(5), steps(99)] == [6, 5, 6]


def test_given_rows_go_by_passes_or_by_a_limit() -> None:
    assert row_steps(10, 4, epochs=1.5).total_steps == 5  # 3 steps a pass
    assert row_steps(10, 4, epochs=0.01).total_steps == 1
    assert row_steps(10, 4, epochs=3.0, limit=2).total_steps == 2
    assert row_steps(10, 4, epochs=3.0).epoch_after(4) == pytest.approx(1.4)
    assert rows_per_step(2, 3, 4) == 24

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from alignc.contract.job import job_from
from alignc.runtime.rollout.schedule import RolloutSchedule, schedule_for

from .fixtures import job_data


def schedule(**changes: Any) -> RolloutSchedule:
    return RolloutSchedule(
        **({"prompts": 10, "width": 4, "size": 2, "epochs": 2, "seed": 3, "total_steps": 20} | changes)
    )


def joined(lists: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(lists))


def test_a_pass_takes_every_prompt_once_and_its_last_rollout_may_be_short():
    plan = schedule()
    taken = [plan.taken(rollout) for rollout in (1, 2, 3, 4, 5, 6)]
    assert [len(rows) for rows in taken] == [4, 4, 2, 4, 4, 2]
    assert sorted(joined(taken[:3])) == sorted(joined(taken[3:])) == list(range(10))
    assert taken[:3] != taken[3:]


def test_every_epoch_of_a_rollout_takes_every_row_once_in_an_order_of_its_own():
    plan = schedule(size=3, width=10, epochs=3)
    batches = plan.minibatches(1)
    assert [len(batch) for batch in batches] == [3, 3, 3, 1] * 3
    epochs = [joined(batches[start : start + 4]) for start in (0, 4, 8)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert plan.minibatches(2) != batches


def test_steps_are_counted_over_the_whole_run_and_end_anywhere():
    plan = schedule(total_steps=13)  # a pass is 4 + 4 + 2 steps
    assert [plan.steps_before(rollout) for rollout in (1, 2, 3, 4, 5)] == [0, 4, 8, 10, 14]
    assert plan.rollouts == 4
    numbers = [step for rollout in range(1, 5) for step, _ in plan.steps(rollout)]
    assert numbers == list(range(1, 14))
    assert plan.steps(4) == [(n, rows) for n, rows in zip((11, 12, 13), plan.minibatches(4), strict=False)]


@pytest.mark.parametrize(("steps", "rollouts"), [(1, 1), (4, 1), (5, 2), (10, 3), (11, 4), (20, 6), (21, 7)])
def test_rollouts_cover_the_steps(steps: int, rollouts: int):
    assert schedule(total_steps=steps).rollouts == rollouts


def test_epochs_count_the_prompts_that_are_done_with():
    plan = schedule()
    after = [plan.epoch_after(rollout, step) for rollout, step in ((1, 2), (1, 4), (3, 9), (3, 10), (4, 12))]
    assert after == pytest.approx([0.2, 0.4, 0.9, 1.0, 1.2])


def planned(
    tmp_path: Path, data: dict[str, Any], max_steps: int | None = None, **train: Any
) -> RolloutSchedule:
    changes = {"kind": "prompts", "columns": {"prompt": "prompt"}} | data
    raw = job_data("sft", tmp_path / "rows.jsonl", tmp_path / "run", data=changes)
    raw["spec"]["train"] |= train
    return schedule_for(job_from(raw), prompts=10, world=1, max_steps=max_steps)


def test_prompts_go_by_epochs_unless_steps_are_given(tmp_path: Path):
    kept = {"num_train_epochs": 1.5, "rollout_minibatches": 2, "rollout_epochs": 3}
    plan = planned(tmp_path, {}, **kept)  # 4 prompts a rollout, 3 rollouts a pass: 5 rollouts
    assert (plan.width, plan.size, plan.epochs) == (4, 2, 3)
    assert (plan.rollouts, plan.total_steps) == (5, 6 + 6 + 3 + 6 + 6)
    assert planned(tmp_path, {}, max_steps=100, **kept).total_steps == 100
    assert planned(tmp_path, {}, **kept, max_steps=7).total_steps == 7


def test_self_play_takes_all_prompts_in_each_iteration(tmp_path: Path):
    kind = {"kind": "self_play", "iterations": 3}
    plan = planned(tmp_path, kind, num_train_epochs=9.0)
    assert (plan.width, plan.rollouts, plan.total_steps) == (10, 3, 15)
    assert sorted(plan.taken(2)) == list(range(10))
    assert planned(tmp_path, kind, max_steps=100).total_steps == 15
    assert planned(tmp_path, kind, max_steps=6).rollouts == 2

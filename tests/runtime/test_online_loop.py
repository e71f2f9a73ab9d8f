"""What an online run logs and writes down, and how its ranks' work is shared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from alignc.api import lowered
from alignc.contract.failure import Failure
from alignc.contract.job import read_job
from alignc.runtime.base.signals import Interrupted
from alignc.runtime.ranks.pulse import Pulse
from alignc.runtime.ranks.run import Options, Run
from alignc.runtime.ranks.shared import shared
from alignc.runtime.ranks.world import World

from .forks import Forks
from .online_jobs import online_script, read_rows

ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    script = online_script(tmp_path, "grpo")
    return Run(read_job(script.with_name("job.json")), script.parent, Options(), Pulse(tmp_path, 0))


def test_work_is_done_piece_by_piece_and_empty_pieces_are_passed_over(run: Run):
    asked = []

    def work(places: list[int]) -> dict[int, int]:
        asked.append(places)
        return {place: place**2 for place in places}

    assert shared(run, ALONE, [[3, 1], [], [2]], work) == {3: 9, 1: 1, 2: 4}
    assert asked == [[3, 1], [2]]


def test_work_that_fails_stops_the_rest(run: Run):
    asked = []

    def work(places: list[int]) -> dict[int, int]:
        asked.append(places)
        raise Failure("E612", "no idea")

    with pytest.raises(Failure, match="no idea"):
        shared(run, ALONE, [[0], [1]], work)
    assert asked == [[0]]


def test_a_signal_stops_work_before_the_next_piece(run: Run):
    def work(places: list[int]) -> dict[int, int]:
        run.stop.catch(15, None)
        return dict.fromkeys(places, 0)

    with pytest.raises(Interrupted) as wish:
        shared(run, ALONE, [[0], [1]], work)
    assert (wish.value.signum, wish.value.exit_code) == (15, 75)


BESIDE = {"step", "epoch", "rollout", "grad_norm", "learning_rate", "num_tokens"}
"""What every run logs, whatever it is about."""


def announced(script: Path) -> set[str]:
    """Name what `explain` says that the steps of a job log."""
    made = lowered(script.parents[2] / "spec.yaml")
    return {*made.needs.metrics, *(metric.name for metric in made.explanation.logged)}


def logged(script: Path) -> set[str]:
    """Name what the steps of a job did log of themselves and of their rollouts."""
    return {n for row in read_rows(script) if row["step"] for n in row if not n.startswith("eval_")} - BESIDE


@pytest.fixture(scope="module")
def played(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    train = {"eval_on_start": True, "eval_steps": 2}
    script = online_script(tmp_path_factory.mktemp("played"), "sppo", train=train)
    assert forks.run(script)["status"] == 0
    return script


def test_an_evaluation_before_the_first_step_finds_the_initial_policy(played: Path):
    before = read_rows(played)[0]
    assert before["step"] == 0
    assert before["eval_objective/kl"] == 0.0
    assert 0.2 < before["eval_win_rate"] < 0.8  # the answers compared are independent draws
    assert read_rows(played)[-1]["eval_objective/kl"] != 0.0


def test_explain_names_what_self_play_logs(played: Path):
    assert logged(played) == announced(played)


def test_every_answer_is_written_down_with_its_worth(played: Path):
    records = read_rows(played, "rollouts.jsonl")
    rows = {row["row"] for row in records}
    wanted = [(rollout, row, n) for rollout in (1, 2, 3) for row in sorted(rows) for n in (0, 1, 2)]
    assert sorted((r["rollout"], r["row"], r["sample"]) for r in records) == wanted
    assert {r["step"] for r in records if r["rollout"] == 2} == {2}  # the steps that the policy had made
    groups: dict[tuple[int, int], list[float]] = {}
    for record in records:
        groups.setdefault((record["rollout"], record["row"]), []).append(record["win_rate"])
    assert all(sum(group) == pytest.approx(len(group) / 2) for group in groups.values())
    assert all(set(record) >= {"prompt", "completion", "ended", "origin"} for record in records)


def test_what_is_logged_agrees_with_what_was_written_down(forks: Forks, tmp_path: Path):
    script = online_script(tmp_path, "ppo")
    assert forks.run(script, "--limit", "8", "--max-steps", "3")["status"] == 0
    rows, records = read_rows(script), read_rows(script, "rollouts.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert logged(script) == announced(script) > {"rewards/regex#2/mean", "objective/rlhf_reward"}
    for row in rows:
        rewards = [record["reward"] for record in records if record["rollout"] == row["rollout"]]
        assert row["objective/scores"] == pytest.approx(sum(rewards) / len(rewards))
        parts = [record["parts"]["length"] for record in records if record["rollout"] == row["rollout"]]
        assert row["rewards/length/mean"] == pytest.approx(sum(parts) / len(parts))
        assert row["objective/rlhf_reward"] == pytest.approx(
            row["objective/scores"] + row["objective/non_score_reward"]
        )
        # the penalty of the preset: k1 with β = 0.05, summed over the tokens of a response
        assert row["objective/non_score_reward"] == pytest.approx(-0.05 * row["objective/kl"], abs=1e-12)
    assert len({record["origin"] for record in records}) == 8  # two rollouts of 4, the second cut short
    assert json.loads((script.parents[1] / "status.json").read_text())["finished"]
    card = (script.parents[1] / "model" / "README.md").read_text()
    assert "objective/scores" in card


def test_cut_answers_get_the_reward_that_the_spec_names(forks: Forks, tmp_path: Path):
    data: dict[str, Any] = {"missing_eos_reward": -7.0, "max_new_tokens": 1, "eval": None}
    script = online_script(tmp_path, "grpo", data=data)
    assert forks.run(script, "--max-steps", "1")["status"] == 0
    records = read_rows(script, "rollouts.jsonl")
    assert {record["ended"]: record["reward"] for record in records if not record["ended"]} == {False: -7.0}
    (row,) = read_rows(script)
    assert row["completions/mean_length"] == 1.0
    assert row["rollout/degenerate_groups"] == 4.0
    assert logged(script) == announced(script)

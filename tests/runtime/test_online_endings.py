"""How an online job ends: signals, rewards that fail, values that are off. Nothing of a finished rollout is lost."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from alignc.contract.failure import Failure
from alignc.contract.job import read_job
from alignc.diagnostics import DiagnosticError
from alignc.runtime.rollout.rollout import passes_multiple
from alignc.runtime.rollout.schedule import schedule_for
from alignc.runtime.train.guards import check_ratios

from .compiled import start
from .forks import Forks
from .online_jobs import REWARD, online_script, read_rows
from .test_endings import SPOILT_SHARE, edit, status

LATE: dict[str, Any] = {"train": {"save_steps": 500, "eval_steps": None}}
WORTH = {"kind": "column", "name": "worth", "weight": 0.0}
SAMPLING = "            sources = session.renew("
STEP = "        batches = [source.batch(step)"
TERM = (
    "import os, signal\nif {condition} and not run.options.resume:\n    os.kill(os.getpid(), signal.SIGTERM)"
)


def line_of(script: Path, start: str) -> str:
    """Find the line of the emitted loop that begins so."""
    return next(line for line in script.read_text().splitlines(keepends=True) if line.startswith(start))


def insert(script: Path, statements: str, start: str) -> None:
    edit(script, statements, before=line_of(script, start))


def checkpoints(script: Path) -> list[str]:
    return sorted(path.name for path in (script.parents[1] / "checkpoints").glob("step-*"))


@pytest.fixture(scope="module")
def whole(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    script = online_script(tmp_path_factory.mktemp("whole"), "grpo", **LATE)  # 4 rollouts of 2 steps
    assert forks.run(script)["status"] == 0
    return left(script)


def left(script: Path) -> dict[str, bytes]:
    names = ("metrics.jsonl", "rollouts.jsonl", "model/model.safetensors")
    return {name: (script.parents[1] / name).read_bytes() for name in names}


def test_a_signal_while_answers_are_sampled_saves_what_the_rollout_began_with(
    forks: Forks, whole: Any, tmp_path: Path
):
    script = online_script(tmp_path, "grpo", **LATE)
    insert(script, TERM.format(condition="step.rollout == 2"), SAMPLING)
    assert forks.run(script)["status"] == 75
    assert status(script) == {"exit": 75, "diagnostics": [], "finished": False, "step": 2}
    assert checkpoints(script) == ["step-2"]
    assert forks.run(script, "--resume")["status"] == 0
    assert left(script) == whole


def test_a_signal_before_the_first_rollout_is_done_has_nothing_to_save(
    forks: Forks, whole: Any, tmp_path: Path
):
    script = online_script(tmp_path, "grpo", **LATE)
    insert(script, TERM.format(condition="step.rollout == 1"), SAMPLING)
    assert forks.run(script)["status"] == 75
    assert (status(script)["step"], checkpoints(script)) == (0, [])
    assert forks.run(script, "--resume")["status"] == 0
    assert left(script) == whole


def test_a_rollout_that_is_nearly_done_is_brought_to_its_end(forks: Forks, whole: Any, tmp_path: Path):
    script = online_script(tmp_path, "grpo", **LATE)
    insert(script, TERM.format(condition="step.number == 3"), STEP)
    assert forks.run(script)["status"] == 75
    assert (status(script)["step"], checkpoints(script)) == (4, ["step-4"])
    assert forks.run(script, "--resume")["status"] == 0
    assert left(script) == whole


@pytest.mark.parametrize(("saves", "kept"), [(500, 0), (2, 2)])
def test_a_rollout_that_would_take_long_is_left(
    forks: Forks, whole: Any, tmp_path: Path, saves: int, kept: int
):
    script = online_script(tmp_path, "grpo", train={"save_steps": saves, "eval_steps": None})
    slow = "import alignc.runtime.rollout.rollout as online\nonline.PATIENCE = -1"
    insert(script, f"{TERM.format(condition='step.number == 3')}\n{slow}", STEP)
    assert forks.run(script)["status"] == 75
    assert (status(script)["step"], checkpoints(script)) == (kept, [f"step-{kept}"] if kept else [])
    assert len(read_rows(script)) == 3  # step 3 was logged, and will be again
    assert forks.run(script, "--resume")["status"] == 0
    assert left(script) == whole


def test_a_signal_during_evaluation_is_obeyed_and_the_metrics_are_the_same(forks: Forks, tmp_path: Path):
    train = {"train": {"save_steps": 500, "eval_steps": 2}}
    one, two = (online_script(tmp_path / name, "sppo", **train) for name in ("one", "two"))
    assert forks.run(one)["status"] == 0
    insert(two, TERM.format(condition="state.step == 4"), "        state = session.end_rollout(")
    assert forks.run(two)["status"] == 75
    assert (checkpoints(two), len(read_rows(two))) == (["step-4"], 3)
    assert forks.run(two, "--resume")["status"] == 0
    assert left(two) == left(one)
    evaluated = [row for row in read_rows(one) if "eval_win_rate" in row]
    assert [row["step"] for row in evaluated] == [2, 4, 6]


def test_a_reward_that_fails_names_the_sample_and_loses_nothing(forks: Forks, whole: Any, tmp_path: Path):
    reward: Any = [*REWARD, WORTH]
    script = online_script(tmp_path, "grpo", data={"reward": reward}, **LATE)
    bad = origin_in_rollout(script, 2)
    write_worth(tmp_path, without=bad)
    assert forks.run(script)["status"] == 1
    (found,) = status(script)["diagnostics"]
    assert (found["code"], found["line"]) == ("E701", bad)
    assert (status(script)["step"], checkpoints(script)) == (2, ["step-2"])
    assert {row["rollout"] for row in read_rows(script, "rollouts.jsonl")} == {1}
    write_worth(tmp_path)
    assert forks.run(script, "--resume")["status"] == 0
    assert (script.parents[1] / "model" / "model.safetensors").read_bytes() == whole[
        "model/model.safetensors"
    ]


def write_worth(folder: Path, without: int | None = None) -> None:
    """Give the prompts a column `worth`, but for the one on a line."""
    source = folder / "prompts.jsonl"
    rows = [json.loads(line) | {"worth": 1.0} for line in source.read_text().splitlines()]
    if without is not None:
        del rows[without - 1]["worth"]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.engines
def test_what_fails_on_one_rank_ends_all_of_them_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    train = {"per_device_train_batch_size": 1, "per_device_eval_batch_size": 1} | LATE["train"]
    two = {"num_processes": 2, "timeout": 300}
    script = online_script(tmp_path, "grpo", data={"reward": [*REWARD, WORTH]}, train=train, launch=two)
    bad = origin_in_rollout(script, 2, at=1, world=2)  # the second rank judges every other prompt
    write_worth(tmp_path, without=bad)
    outcome = start(script)
    assert (outcome.exit_code, [each["code"] for each in outcome.diagnostics]) == (1, ["E701"])
    assert outcome.diagnostics[0]["line"] == bad
    assert (status(script)["step"], checkpoints(script)) == (2, ["step-2"])


def origin_in_rollout(script: Path, number: int, at: int = 0, world: int = 1) -> int:
    """Find the line of a prompt that a rollout takes: its first one, or that at another place."""
    from transformers import ByT5Tokenizer

    from alignc.runtime.data import settings_from_job
    from alignc.runtime.data.prompts import load_prompts

    job = read_job(script.with_name("job.json"))
    prompts = load_prompts(settings_from_job(job), ByT5Tokenizer(), which="train", room=4)
    place = schedule_for(job, len(prompts), world).taken(number)[at]
    return int(prompts[place].origin.rpartition(":")[2])


def test_a_policy_that_is_not_the_one_that_sampled_is_found_out(forks: Forks, tmp_path: Path):
    script = online_script(tmp_path, "grpo", **LATE)
    moved = "if step.number == 3:\n    next(iter(model.parameters())).data.add_(0.1)"
    insert(script, moved, STEP)
    assert forks.run(script)["status"] == 4
    (found,) = status(script)["diagnostics"]
    assert found["code"] == "E802"
    assert "step 3, the first of rollout 2: val/ratio is" in found["message"]


def test_the_first_ratio_of_every_rollout_is_exactly_1(forks: Forks, tmp_path: Path):
    script = online_script(
        tmp_path, "ppo", model={"dtype": "float64"}, train={"gradient_accumulation_steps": 1}
    )
    assert forks.run(script)["status"] == 0
    rows = read_rows(script)
    firsts = [
        row for row, before in zip(rows, [{}, *rows], strict=False) if row["rollout"] != before.get("rollout")
    ]
    assert len(firsts) == 7
    assert {row["val/ratio"] for row in firsts} == {1.0}
    assert all(row["val/ratio"] != 1.0 for row in rows if row not in firsts)


def test_a_number_that_is_not_finite_names_the_row(forks: Forks, tmp_path: Path):
    script = online_script(tmp_path, "ppo", **LATE)
    spoilt = indent(SPOILT_SHARE.format(v="float('nan')"), "    ")
    insert(script, f"if step.number == 2:\n{spoilt}", "                engine.backward(")
    assert forks.run(script)["status"] == 4
    (found,) = status(script)["diagnostics"]
    assert found["code"] == "E801"
    assert "prompts.jsonl:" in found["why"]


@pytest.mark.parametrize(
    ("value", "dtype", "fine"), [(1 + 1e-4, "float32", True), (1 + 1e-4, "float64", False)]
)
def test_how_far_a_ratio_may_be_off(value: float, dtype: str, fine: bool):
    import torch

    if fine:
        check_ratios({"val/ratio": value}, ["val/ratio"], 1, 1, getattr(torch, dtype))
        return
    with pytest.raises(Failure, match="E802"):
        check_ratios({"val/ratio": value}, ["val/ratio"], 1, 1, getattr(torch, dtype))


def test_weights_spread_over_ranks_are_refused_by_compiler_and_job(forks: Forks, tmp_path: Path):
    with pytest.raises(DiagnosticError, match=r"E605.*stage 3"):
        online_script(tmp_path, "grpo", launch={"engine": "deepspeed", "zero_stage": 3})
    job = online_script(tmp_path, "grpo", launch={"engine": "deepspeed", "zero_stage": 2}).parent / "job.json"
    job.write_text(job.read_text("utf-8").replace('"zero_stage": 2', '"zero_stage": 3'), "utf-8")
    assert forks.run(job.with_name("train.py"))["status"] == 3
    (found,) = status(job.with_name("train.py"))["diagnostics"]
    assert found["code"] == "E605"
    assert "stage 3" in found["message"]


def test_multiples_are_passed_once():
    assert [passes_multiple(before, before + 3, 4) for before in (0, 3, 6, 9)] == [False, True, True, True]
    assert not passes_multiple(0, 10, None)
    assert passes_multiple(4, 8, 4)
    assert not passes_multiple(4, 7, 4)


ANSWERS = '''
import os
import time

calls = [0]


def judge(prompts, completions, **columns):
    """Count letters; in the second rollout do what the file says."""
    calls[0] += 1
    if calls[0] > 2:
        exec(open(os.path.join(os.path.dirname(__file__), "deed.txt")).read())
    return [float(len(text)) for text in completions]
'''
ALLOW = "import os\nos.environ |= {{'ALIGNC_ALLOW': 'judging:judge', 'ALIGNC_FUNCTIONS': {folder!r}}}"


@pytest.mark.parametrize("deed", ["raise ValueError('no idea')", "time.sleep(60)"])
def test_a_function_that_fails_ends_the_run_with_its_rollouts_kept(forks: Forks, tmp_path: Path, deed: str):
    (tmp_path / "judging.py").write_text(ANSWERS)
    (tmp_path / "deed.txt").write_text(deed)
    reward = {"kind": "function", "name": "judging:judge", "timeout": 1}
    script = online_script(tmp_path, "grpo", data={"reward": reward, "eval": None}, **LATE)
    edit(script, ALLOW.format(folder=str(tmp_path)), before="def main(run: Run) -> None:\n")
    assert forks.run(script)["status"] == 4
    (found,) = status(script)["diagnostics"]
    assert "prompts.jsonl:" in found["message"] + str(found["why"])
    assert not (tmp_path / "run" / "crash.log").exists()
    saved = status(script)["step"]
    assert checkpoints(script) == [f"step-{saved}"]
    assert saved > 0
    (tmp_path / "deed.txt").write_text("pass")
    assert forks.run(script, "--resume")["status"] == 0
    assert [row["step"] for row in read_rows(script)] == list(range(1, 9))

"""The loop of a job whose policy makes its own responses."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import alignc.api

REWARD = {"kind": "verifier", "name": "exact_number"}
ORACLE = {"kind": "bradley_terry", "reward": REWARD}
EMA = {"estimator": "k3", "placement": "loss", "beta": 0.1, "granularity": "token", "anchor": "ema"}
SPECS: dict[str, dict[str, Any]] = {
    "plain": {"objective": {"preset": "reinforce"}},
    "penalty": {"objective": {"preset": "ppo"}},
    "ema": {"objective": {"preset": "grpo", "kl": EMA}, "model": {"reference": {"kind": "ema"}}},
    "mixture": {"objective": {"preset": "nash_md"}, "data": {"reward": None, "oracle": ORACLE}},
    "coupled": {"objective": {"preset": "aot"}, "data": {"completions_per_prompt": 2}},
    "play": {
        "objective": {"preset": "sppo"},
        "data": {"kind": "self_play", "reward": None, "oracle": ORACLE},
    },
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("jobs")
    (root / "prompts.jsonl").write_text('{"prompt": "1+1=", "answer": "2"}\n')
    for name, given in SPECS.items():
        spec = {
            "objective": given["objective"],
            "model": {"policy": "some/model"} | given.get("model", {}),
            "data": {"kind": "prompts", "source": str(root / "prompts.jsonl"), "reward": REWARD}
            | given.get("data", {}),
        }
        (root / f"{name}.yaml").write_text(json.dumps(spec))
        alignc.api.compile(root / f"{name}.yaml", root / name)
    return root


def script(folders: Path, name: str) -> str:
    return (folders / name / "train.py").read_text("utf-8")


def test_prompts_get_the_loop_of_rollouts(folders: Path):
    assert all("schedule_for(" in script(folders, name) for name in SPECS)


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("penalty", "from loss import loss, penalty"),
        ("ema", "average.update("),
        ("mixture", 'data.opponent["weight"]'),
        ("coupled", "statistics_of("),
    ],
)
def test_a_loop_has_what_its_objective_needs_and_no_more(folders: Path, name: str, word: str):
    assert [other for other in SPECS if word in script(folders, other)] == [name]


def test_the_loop_is_clean_and_laid_out_as_ruff_does(folders: Path):
    scripts = [str(folders / name / "train.py") for name in SPECS]
    code = [line for name in SPECS for line in script(folders, name).partition("\nimport ")[2].splitlines()]
    assert max(map(len, code)) <= 110  # above it stands the formula
    ruff = str(Path(sys.executable).with_name("ruff"))
    for options in (
        ["check", "--isolated", "--select", "F,E7,E9,B,SIM,RET"],
        ["format", "--check", "--isolated", "--line-length", "110"],
    ):
        ran = subprocess.run(
            [ruff, *options, "--no-cache", *scripts], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout

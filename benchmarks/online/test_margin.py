"""Train one method for a minute, and check that held-out responses get better: `pytest benchmarks/online`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent


def run(spec: str, folder: Path, *settings: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    sets = [part for each in settings for part in ("--set", each)]
    command = [sys.executable, "-m", "alignc", "run", str(HERE / spec), *sets]
    subprocess.run(command, cwd=folder, env=environment, check=True)


@pytest.mark.long
def test_rloo_answers_more_held_out_sums_than_the_sft_model(tmp_path: Path) -> None:
    run("sft.yaml", tmp_path)
    run("rloo.yaml", tmp_path, "train.max_steps=30", "train.eval_steps=30", "train.seed=4")
    lines = (tmp_path / "benchmarks/out/online/rloo/metrics.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    before, after = (row["eval_objective/scores"] for row in (rows[0], rows[-1]))
    assert 0.2 < before < 0.55
    assert after > before + 0.1  # two and a half standard errors of a difference on 300 prompts
    assert 0 < rows[-1]["eval_objective/kl"] < 2

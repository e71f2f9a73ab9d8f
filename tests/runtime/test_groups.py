"""Groups of different sizes: the logged loss is the mean of what the float64 evaluator gives row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import alignc.api

from .compiled import log_probabilities, metrics, train_script, write_rows
from .forks import Forks

OBJECTIVES: list[dict[str, Any]] = [
    {"preset": "copg"},
    {"preset": "copg", "normalized": False},
    {"preset": "rebel", "eta": 2.0},
]


@pytest.mark.parametrize("layout", ["packed", "padded"])
@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: "-".join(map(str, o.values())))
def test_groups_of_different_sizes(forks: Forks, tmp_path: Path, objective: dict[str, Any], layout: str):
    source = write_rows(tmp_path / "rows.jsonl", "scored", 7)
    train = {
        "per_device_train_batch_size": 3,
        "gradient_accumulation_steps": 3,
        "max_steps": 2,
        "save_steps": 1,
    }
    train |= {"learning_rate": 1e-4, "layout": layout}  # 3, 3 and 1 rows
    script = train_script(tmp_path, objective, "scored", source, model={"dtype": "float64"}, train=train)
    assert forks.run(script)["status"] == 0, (script.parents[1] / "status.json").read_text()
    rows, now, then = log_probabilities(script, 1)
    assert {len(row.responses) for row in rows} == {2, 3, 4}
    examples = []
    for row, policy, initial in zip(rows, now, then, strict=True):
        parts = zip(policy, initial, row.columns["reward/completions"], row.responses, strict=True)
        members = [
            {"logp": p, "ref_logp": i, "old_logp": i, "reward": r, "length": len(y)} for p, i, r, y in parts
        ]
        examples.append({"completions": members})
    wanted = alignc.api.evaluate(tmp_path / "spec.yaml", {"examples": examples})
    assert metrics(script)[1]["loss"] == pytest.approx(wanted["loss"], rel=1e-9)
    assert wanted["loss"] != pytest.approx(metrics(script)[0]["loss"], rel=1e-6)

from __future__ import annotations

import json
from pathlib import Path

from .conftest import Alignc


def test_plan_prints_what_a_job_takes(alignc: Alignc, here: Path):
    done = alignc("plan", "spec.yaml", "--memory", "4GiB")
    assert done.code == 0
    for word in (
        "parameters",
        "rows         2",
        "train step",
        "fits 4 GiB (as given)",
        "launch",
        "accelerate",
    ):
        assert word in done.out


def test_plan_as_json(alignc: Alignc, here: Path):
    done = alignc("plan", "spec.yaml", "--format", "json", "--no-data")
    data = json.loads(done.out)
    assert done.code == 0
    assert data["schedule"]["rows"] is None
    assert data["peak"]["bytes"] == max(phase["total"] for phase in data["phases"])
    assert {item["sure"] for phase in data["phases"] for item in phase["items"]} == {
        "exact",
        "bound",
        "estimate",
    }


def test_what_cannot_fit_is_refused(alignc: Alignc, here: Path):
    done = alignc(
        "plan", "spec.yaml", "--set", "model.policy=org/big", "--parameters", "7B", "--memory", "24GB"
    )
    assert done.code == 1
    assert "E606" in done.err
    assert "7,000,000,000 parameters" in done.out


def test_a_hub_model_is_not_known(alignc: Alignc, here: Path):
    done = alignc("plan", "spec.yaml", "--set", "model.policy=org/model")
    assert done.code == 0
    assert "--parameters 0.5B" in done.out
    assert "not known whether it fits" in done.out


def test_sizes_that_are_none_are_wrong_usage(alignc: Alignc, here: Path):
    assert alignc("plan", "spec.yaml", "--memory", "much").code == 2
    assert alignc("plan", "spec.yaml", "--parameters", "many").code == 2


def test_a_pipeline_is_planned_stage_by_stage(alignc: Alignc, here: Path):
    Path("pipe.yaml").write_text(
        "stages:\n  - spec.yaml\n  - name: more\n    extends: spec.yaml\n    model: {policy: {run: spec}}\n"
    )
    done = alignc("plan", "pipe.yaml", "--format", "json")
    first, second = json.loads(done.out)
    assert first["sizes"][0]["parameters"] == second["sizes"][0]["parameters"]
    assert "made from a new llama" in second["sizes"][0]["source"]

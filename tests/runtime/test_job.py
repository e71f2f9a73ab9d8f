from __future__ import annotations

import json
from pathlib import Path

import pytest

from alignc.contract.failure import Failure
from alignc.contract.job import Reference, job_from, read_job

from .fixtures import job_data


def test_a_job_is_read_whole(tmp_path: Path):
    data = job_data("dpo", tmp_path / "rows.jsonl", tmp_path / "run", seed=7)
    path = tmp_path / "job.json"
    path.write_text(json.dumps(data))
    job = read_job(path)
    assert job.spec.train.seed == 7
    assert job.spec.model.reference == Reference("initial")
    assert job.needs.responses == ["chosen", "rejected"]
    assert job.output_dir == tmp_path / "run"
    assert job == job_from(data)


@pytest.mark.parametrize("section", ["model", "data", "train", "launch"])
def test_unknown_and_missing_keys_are_named(tmp_path: Path, section: str):
    data = job_data("sft", tmp_path, tmp_path)
    part = data["spec"][section]
    part["surprise"] = 1
    gone = next(key for key in part if key not in ("policy", "surprise", "adapter", "reference", "dtype"))
    if section != "model":
        del part[gone]
    with pytest.raises(Failure, match="surprise") as caught:
        job_from(data)
    assert section == "model" or f"'{gone}'" in caught.value.message


@pytest.mark.parametrize("text", ["", "[]", "{", '{"spec": 3}'])
def test_what_is_no_job_is_a_diagnostic(tmp_path: Path, text: str):
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(Failure, match="E806"):
        read_job(tmp_path / "job.json")


def test_an_anchor_that_is_not_computed_is_refused(tmp_path: Path):
    data = job_data("dpo", tmp_path, tmp_path)
    data["plan"] |= {"anchors": ["initial", "oracle"]}
    with pytest.raises(Failure, match=r"E806.*oracle"):
        job_from(data)

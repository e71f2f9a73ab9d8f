"""A job refuses a package that would compute wrong numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from alignc.contract.failure import Failure
from alignc.contract.versions import PACKAGES, Package
from alignc.runtime.base.packages import check_version, require

from .fixtures import job_data, write_job, write_pairs


@pytest.mark.parametrize("version", ["0.19.0", "0.19.8", "0.19.9+abcdef0", "0.20.1"])
def test_a_deepspeed_from_0_19_on_is_taken(version: str):
    check_version("deepspeed", version)


@pytest.mark.parametrize("version", ["0.9.5", "0.18.0", "0.18.9", "0.18.9+abcdef0"])
def test_an_older_deepspeed_is_refused(version: str):
    with pytest.raises(Failure) as caught:
        check_version("deepspeed", version)
    assert (caught.value.code, caught.value.exit_code) == ("E614", 3)
    assert caught.value.message == f"`deepspeed` is {version}, and the job needs >=0.19,<0.20"
    assert "gradient norm of 0.407 came out as 0.246" in str(caught.value.why)
    assert caught.value.help == "pip install 'deepspeed>=0.19,<0.20'"


def test_an_older_version_of_others_is_not_the_jobs_to_refuse():
    check_version("peft", "0.1")


def test_the_installed_one_is_looked_at():
    require("deepspeed")


def test_a_missing_one_is_named_with_its_range(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(PACKAGES, "not-to-be-found", Package("not-to-be-found", ">=2,<3"))
    with pytest.raises(Failure, match="E602") as caught:
        require("not-to-be-found")
    assert (caught.value.exit_code, caught.value.help) == (3, "pip install 'not-to-be-found>=2,<3'")


@pytest.mark.engines
def test_a_job_stops_before_deepspeed_is_imported(tmp_path: Path):
    """Only the metadata of an old DeepSpeed is put before those of the installed one."""
    rows = write_pairs(tmp_path / "rows.jsonl", 4)
    data = job_data("dpo", rows, tmp_path / "run", launch={"engine": "deepspeed"})
    job = write_job(tmp_path / "run" / "job", data)
    old = tmp_path / "old" / "deepspeed-0.18.9.dist-info"
    old.mkdir(parents=True)
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: deepspeed\nVersion: 0.18.9\n")
    path = os.pathsep.join([str(old.parent), os.environ.get("PYTHONPATH", "")])
    variables = {**os.environ, "PYTHONPATH": path, "ALIGNC_CACHE": str(tmp_path / "cache")}
    variables.pop("ALIGNC_LAUNCHED", None)
    line = [sys.executable, str(job / "train.py")]
    done = subprocess.run(line, capture_output=True, text=True, env=variables, cwd=tmp_path, timeout=300)
    assert done.returncode == 3, done.stderr
    assert "error[E614]: `deepspeed` is 0.18.9, and the job needs >=0.19,<0.20" in done.stderr
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert [each["code"] for each in status["diagnostics"]] == ["E614"]
    assert not (tmp_path / "run" / "metrics.jsonl").exists()

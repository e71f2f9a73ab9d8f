"""The runtime alone, copied beside a job, where alignc is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from alignc.emit.folder import JobFolder, runtime_files, write

from .fixtures import job_data, write_job, write_pairs

WITHOUT_ALIGNC = """
import runpy, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "alignc":
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Absent())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_copied_runtime_trains(tmp_path: Path):
    data = job_data("dpo", write_pairs(tmp_path / "rows.jsonl", 4), tmp_path / "run")
    job = write_job(tmp_path / "run" / "job", data)
    script = job / "train.py"
    script.write_text(script.read_text().replace("from alignc.", "from bundled."))
    write(JobFolder(dict(runtime_files())), job)
    variables = {**os.environ, "ALIGNC_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    variables.pop("ALIGNC_LAUNCHED", None)
    line = [sys.executable, "-c", WITHOUT_ALIGNC, str(script)]
    done = subprocess.run(line, capture_output=True, text=True, env=variables, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "accelerator" not in done.stdout + done.stderr  # what DeepSpeed says when accelerate imports it
    shown = [entry for entry in done.stderr.splitlines() if entry.startswith(("step", "the model"))]
    assert shown[0].startswith("step 1/2  loss 0.6931")
    assert shown[-1] == f"the model is in {tmp_path / 'run' / 'model'}"

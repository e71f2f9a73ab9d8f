"""The probe of a local policy, in a process of its own: how a run would score it, or why it would stop."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alignc.contract.files import JOB
from alignc.doctor.finding import Finding
from alignc.load.disk import exists

__all__ = ["probed"]

MODULE = "alignc.runtime.after.trusted"
PATIENCE = 600.0


def probed(group: str, job: str, policy: Any, patience: float = PATIENCE) -> Iterator[Finding]:
    """Probe the policy of a job, given as the text of its `job.json`, where the policy is a local folder."""
    if not isinstance(policy, str) or not policy.startswith("/") or not exists(policy):
        return
    with TemporaryDirectory() as folder:
        file = Path(folder, JOB)
        file.write_text(job, encoding="utf-8")
        command = [sys.executable, "-P", "-m", MODULE, str(file)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False)
        except subprocess.TimeoutExpired:
            yield Finding(group, "probe", "note", f"the model did not answer within {patience:g} s")
            return
    said = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not said:
        trouble = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        yield Finding(group, "probe", "lacks", f"the model can't be loaded: {trouble}")
        return
    yield finding(group, json.loads(said[-1]))


def finding(group: str, found: dict[str, Any]) -> Finding:
    """Turn the answer of the probe into a finding."""
    failure = found.get("failure")
    if failure:
        return Finding(group, "probe", "lacks", f"{failure['message']} ({failure['code']})", failure["help"])
    if found["notes"]:
        return Finding(group, "probe", "ok", "; ".join(found["notes"]))
    return Finding(
        group, "probe", "ok", f"{found['model']}: {found['layout']} rows give the model's own numbers"
    )

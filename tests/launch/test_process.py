"""The launcher over real processes; the scripts do what ranks do, without torch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from alignc.launch import Outcome, launch
from alignc.launch.ranks import alive

RANK = """
import json, os, signal, sys, time
from pathlib import Path

OUTPUT = Path(__file__).resolve().parents[1]
(OUTPUT / ".ranks").mkdir(exist_ok=True)


def record(**more):
    (OUTPUT / ".ranks" / "0.json").write_text(json.dumps({"pid": os.getpid(), "rank": 0} | more))


def end(code, diagnostics=()):
    record(exit=code, diagnostics=list(diagnostics), ended=time.time())
    (OUTPUT / "status.json").write_text(json.dumps({"exit": code, "diagnostics": list(diagnostics)}))
    sys.exit(code)


def on_signal(signum, frame):
    end({signal.SIGTERM: 75, signal.SIGINT: 130}[signum])


signal.signal(signal.SIGTERM, on_signal)
signal.signal(signal.SIGINT, on_signal)
record()
(OUTPUT / ".ranks" / "0.beat").write_text("1")
print("\\x1efor people")
print("for the log", flush=True)
"""


def make(folder: Path, ending: str, timeout: int = 60) -> Path:
    job = folder / "run" / "job"
    job.mkdir(parents=True)
    section = {"engine": "accelerate", "num_processes": 1, "num_machines": 1, "timeout": timeout}
    spec = {"launch": section, "output_dir": str(folder / "run")}
    (job / "job.json").write_text(json.dumps({"spec": spec}))
    (job / "train.py").write_text(RANK + ending)
    config = {"compute_environment": "LOCAL_MACHINE", "distributed_type": "NO", "mixed_precision": "no"}
    config |= {"num_processes": 1, "num_machines": 1, "machine_rank": 0}
    (job / "accelerate.yaml").write_text(json.dumps(config))
    return job


def pid_of(folder: Path, patience: float = 60.0) -> int:
    """Wait until the rank has said who it is."""
    due = time.monotonic() + patience
    while time.monotonic() < due:
        try:
            record: dict[str, Any] = json.loads((folder / "run" / ".ranks" / "0.json").read_text())
            return int(record["pid"])
        except (OSError, ValueError):
            time.sleep(0.05)
    raise AssertionError("the rank did not start")


@pytest.mark.parametrize("code", [0, 1, 3, 4])
def test_exit_codes_come_through(tmp_path: Path, code: int):
    found = {"code": "E707", "severity": "error", "message": "no rows"}
    job = make(tmp_path, f"end({code}, [{found}] if {code} else [])")
    shown: list[str] = []
    assert launch(job, fingerprint="f", show=shown.append) == Outcome(code, (found,) if code else ())
    assert shown == ["for people"]
    log = (tmp_path / "run" / "run.log").read_text()
    assert "for people\nfor the log\n" in log
    assert json.loads((tmp_path / "run" / "run.json").read_text())["fingerprint"] == "f"


def test_a_rank_that_dies_is_named_and_nobody_is_left(tmp_path: Path):
    job = make(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")
    outcome = launch(job, fingerprint="", show=lambda line: None)
    assert outcome.exit_code == 4
    assert [each["code"] for each in outcome.diagnostics] == ["E803"]


def test_a_rank_that_stops_is_named_and_ended(tmp_path: Path):
    job = make(tmp_path, "os.kill(os.getpid(), signal.SIGSTOP)\ntime.sleep(600)", timeout=2)
    outcome = launch(job, fingerprint="", show=lambda line: None)
    assert [each["code"] for each in outcome.diagnostics] == ["E804"]
    assert not alive(pid_of(tmp_path))


def test_a_rank_that_has_ended_and_does_not_leave_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("alignc.launch.process.LINGER", 0.5)
    job = make(tmp_path, "try:\n    end(0)\nexcept SystemExit:\n    time.sleep(600)")
    assert launch(job, fingerprint="", show=lambda line: None) == Outcome(0)
    assert not alive(pid_of(tmp_path))


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_signals_reach_the_rank(tmp_path: Path, signum: int, code: int):
    job = make(tmp_path, "time.sleep(600)")
    sender = threading.Thread(
        target=lambda: (pid_of(tmp_path), time.sleep(0.3), os.kill(os.getpid(), signum))
    )
    sender.start()
    before = signal.getsignal(signum)
    assert launch(job, fingerprint="", show=lambda line: None) == Outcome(code)
    sender.join()
    assert signal.getsignal(signum) is before


def test_a_signal_before_the_rank_stands(tmp_path: Path):
    job = make(tmp_path, "time.sleep(600)")
    (job / "train.py").write_text("import time\ntime.sleep(600)\n")
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    assert launch(job, fingerprint="", show=lambda line: None) == Outcome(75)
    timer.join()


def test_no_orphans_when_the_launcher_is_killed(tmp_path: Path):
    job = make(tmp_path, "import ctypes\nctypes.CDLL(None).prctl(1, signal.SIGTERM)\ntime.sleep(600)")
    script = "from pathlib import Path\nfrom alignc.launch import launch\n"
    script += f"launch(Path({str(job)!r}), fingerprint='', show=print)"
    root = str(Path(__file__).parents[2])
    launcher = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": root})
    pid = pid_of(tmp_path)
    time.sleep(0.5)
    launcher.kill()
    launcher.wait()
    due = time.monotonic() + 30
    while alive(pid) and time.monotonic() < due:
        time.sleep(0.05)
    assert not alive(pid)


def test_what_an_earlier_attempt_left_is_not_believed(tmp_path: Path):
    job = make(tmp_path, "end(0)")
    (tmp_path / "run" / "status.json").write_text('{"exit": 4}')
    ranks = tmp_path / "run" / ".ranks"
    ranks.mkdir()
    (ranks / "5.json").write_text('{"pid": 999999, "rank": 5}')
    assert launch(job, fingerprint="", show=lambda line: None) == Outcome(0)

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from alignc.launch.command import command, environment, free_port, usable_cores

JOB = Path("/runs/a b/job")
ONE: dict[str, Any] = {"engine": "accelerate", "num_processes": 1, "num_machines": 1}


def test_one_process():
    assert command(JOB, ONE, port=5) == [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        "/runs/a b/job/accelerate.yaml",
        "/runs/a b/job/train.py",
    ]


@pytest.mark.parametrize("section", [ONE | {"num_processes": 2}, ONE | {"engine": "deepspeed"}])
def test_ranks_get_a_port(section: dict[str, Any]):
    line = command(JOB, section, port=5)
    assert line[5:7] == ["--main_process_port", "5"]


def test_options_are_those_of_the_script():
    line = command(JOB, ONE, resume=True, max_steps=3, limit=4)
    assert line[-5:] == ["--resume", "--max-steps", "3", "--limit", "4"]


def test_ambient_settings_of_launchers_are_left_out():
    base = {
        "ACCELERATE_MIXED_PRECISION": "fp16",
        "FSDP_X": "1",
        "RANK": "3",
        "HF_HOME": "/cache",
        "PATH": "/bin",
    }
    kept, dropped = environment(base, ONE, cores=8)
    assert sorted(dropped) == ["ACCELERATE_MIXED_PRECISION", "FSDP_X", "RANK"]
    assert kept["HF_HOME"] == "/cache"
    assert kept["PATH"] == "/bin"
    assert not set(dropped) & set(kept)


@pytest.mark.parametrize(("processes", "threads"), [(1, "8"), (2, "4"), (16, "1")])
def test_ranks_share_the_cores(processes: int, threads: str):
    kept, _ = environment({}, ONE | {"num_processes": processes}, cores=8)
    assert kept["OMP_NUM_THREADS"] == threads


def test_pinned_threads_stay():
    assert environment({"OMP_NUM_THREADS": "3"}, ONE, cores=8)[0]["OMP_NUM_THREADS"] == "3"


def test_the_package_is_found_last():
    kept, _ = environment({"PYTHONPATH": "/mine"}, ONE, cores=1)
    assert kept["PYTHONPATH"].split(":") == ["/mine", str(Path(__file__).parents[2])]


def test_machine():
    assert usable_cores() >= 1
    assert 1024 <= free_port() < 65536


def test_launch_imports_no_torch():
    script = (
        "import sys, alignc.launch; print(sorted({'torch', 'transformers', 'accelerate'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

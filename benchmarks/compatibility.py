"""Run alignc with the oldest and the newest packages of its ranges, and record the results.

    python benchmarks/compatibility.py oldest newest --folder FOLDER

Makes a virtual environment for each end of the ranges in FOLDER (about 8 GB each), installs alignc there as a user
does, runs jobs and tests, and writes `alignc/docs/compatibility.json`. `make docs` writes docs/compatibility.md from
it. Takes about half an hour for each end on two cores. Exits 1 where a check fails.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from alignc.contract.versions import PACKAGES

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "alignc" / "docs" / "compatibility.json"
ENDS = ("oldest", "newest")
TOOLS = ("pytest>=8.3,<10", "hypothesis>=6.120,<7", "jsonschema>=4.23,<5")
ZERO = {"engine": "deepspeed", "num_processes": 2, "zero_stage": 2}
TESTS = (
    "tests/runtime/test_engines.py",
    "tests/runtime/test_models.py",
    "tests/runtime/test_checkpoint.py",
    "tests/runtime/test_logprobs.py",
    "tests/runtime/rollout/test_sample.py",
    "tests/runtime/data",
    "tests/spec/test_schema.py",
    "tests/explain/test_formats.py",
)
VERSIONS = """
import json, sys
from importlib.metadata import version
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


@dataclass(frozen=True)
class Check:
    """A command on the examples: its name on the page, its arguments, and the folder of the run that it leaves."""

    name: str
    arguments: tuple[str, ...]
    run: str


def settings(values: dict[str, Any]) -> tuple[str, ...]:
    """Write values as `--set` options."""
    return tuple(word for path, value in values.items() for word in ("--set", f"{path}={value}"))


CHECKS = (
    Check("SFT, then DPO from its model", ("sft.yaml", "dpo.yaml", "--max-steps", "3"), "dpo-sums"),
    Check(
        "DPO, ZeRO-2 on two processes, two micro-batches a step",
        (
            *("dpo.yaml", "--max-steps", "3"),
            *settings({f"launch.{name}": value for name, value in ZERO.items()}),
            *settings({"train.gradient_accumulation_steps": 2, "output_dir": "runs/zero"}),
        ),
        "zero",
    ),
    Check(
        "GRPO, two rollouts",
        (
            *("grpo.yaml", "--max-steps", "4"),
            *settings(
                {"data.reward.name": "regex", "data.reward.pattern": "^[ -~]", "train.warmup_steps": 0}
            ),
        ),
        "grpo-sums",
    ),
)


def wanted(end: str) -> list[str]:
    """List the packages of one end as pip takes them."""
    return [f"{p.name}=={p.floor}" if end == "oldest" else f"{p.name}{p.span}" for p in PACKAGES.values()]


def environment(folder: Path, end: str) -> Path:
    """Make the environment of one end, or bring the one that is there up to date; give its Python."""
    python = folder / end / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder / end)], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    eager = ["--upgrade", "--upgrade-strategy", "eager"] if end == "newest" else []
    subprocess.run([*pip, *eager, *wanted(end), *TOOLS], check=True)
    subprocess.run([*pip, "--no-deps", "--force-reinstall", str(ROOT)], check=True)
    subprocess.run([str(python), "-m", "pip", "check"], check=True)
    return python


def checked(python: Path, place: Path) -> Iterator[dict[str, Any]]:
    """Run the jobs in a copy of the examples, then the tests; yield a row for each."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(ROOT / "examples", place, ignore=shutil.ignore_patterns("runs"))
    variables = os.environ | {"ALIGNC_CACHE": str(place / "cache"), "OMP_NUM_THREADS": "1"}
    variables.pop("PYTHONPATH", None)
    for check in CHECKS:
        command = [str(python), "-m", "alignc", "run", *check.arguments]
        yield timed(check.name, command, place, variables) | ended(place / "runs" / check.run)
    tests = [
        str(python),
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "filterwarnings=default",
        *TESTS,
    ]
    yield timed("tests", tests, ROOT, variables)


def timed(name: str, command: list[str], place: Path, variables: dict[str, str]) -> dict[str, Any]:
    """Run a command; say whether it succeeded, how long it took, and what it printed last."""
    began = time.monotonic()
    done = subprocess.run(command, cwd=place, env=variables, capture_output=True, text=True, check=False)
    said = (done.stdout if name == "tests" else done.stderr).strip().splitlines() or [""]
    print(f"{name}: exit {done.returncode}", *said[-12:], sep="\n  ", flush=True)
    row: dict[str, Any] = {
        "check": name,
        "ok": done.returncode == 0,
        "seconds": round(time.monotonic() - began),
    }
    found = re.search(r"\d+ (?:passed|failed).* in ", said[-1])
    return row | ({"outcome": found[0].removesuffix(" in ")} if found else {})


def ended(run: Path) -> dict[str, Any]:
    """Read the loss and the gradient's norm of a run's last step; nothing where it left none."""
    metrics = run / "metrics.jsonl"
    if not metrics.is_file():
        return {}
    last = json.loads(metrics.read_text(encoding="utf-8").splitlines()[-1])
    return {name: last[name] for name in ("step", "loss", "grad_norm")}


def examined(folder: Path, end: str) -> dict[str, Any]:
    """Make the environment of one end and run everything in it."""
    python = environment(folder, end)
    asked = [str(python), "-c", VERSIONS, *PACKAGES]
    versions = json.loads(subprocess.run(asked, check=True, capture_output=True, text=True).stdout)
    place = {"date": date.today().isoformat(), "python": platform.python_version(), "cores": os.cpu_count()}
    return place | {"versions": versions, "checks": list(checked(python, folder / f"{end}-jobs"))}


def main() -> int:
    """Examine the ends that are asked for, and keep the rows of the others."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ends", nargs="*", choices=ENDS, default=ENDS)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    for end in options.ends:
        record["runs"][end] = examined(options.folder.absolute(), end)
        RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0 if all(row["ok"] for end in options.ends for row in record["runs"][end]["checks"]) else 1


if __name__ == "__main__":
    sys.exit(main())

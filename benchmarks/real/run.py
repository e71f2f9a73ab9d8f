"""Run the specs beside this file on a real model, as a user would, and measure each command.

    python -m benchmarks.real.run FOLDER

`FOLDER` has the model that `unpack` wrote, as `model`, and the rows that `prepare` wrote. The figures are written to
`FOLDER/figures.json`: processor seconds and the largest resident memory of each command with its processes.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
COMMANDS = (
    ("data", "sft.yaml"),
    ("plan", "sft.yaml"),
    ("run", "sft.yaml"),
    ("data", "dpo.yaml"),
    ("plan", "dpo.yaml"),
    ("run", "dpo.yaml"),
    ("plan", "grpo.yaml"),
    ("run", "grpo.yaml"),
)


def measured(command: tuple[str, str], folder: Path) -> dict[str, Any]:
    """Run one command; ru_maxrss is the largest of any one process that has ended so far."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = dict(os.environ) | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2")}
    done = subprocess.run(
        [sys.executable, "-m", "alignc", *command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "command": f"alignc {' '.join(command)}",
        "status": done.returncode,
        "processor_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "seconds": round(time.monotonic() - began, 1),
        "largest_process_mib": after.ru_maxrss // 1024,
        "output": done.stdout.splitlines()[-40:],
    }


def main(folder: Path) -> None:
    """Copy the specs, run every command, and write what was measured after each."""
    for spec in HERE.glob("*.yaml"):
        shutil.copy(spec, folder)
    found: list[dict[str, Any]] = []
    for command in COMMANDS:
        found.append(measured(command, folder))
        print(json.dumps({key: value for key, value in found[-1].items() if key != "output"}), flush=True)
        (folder / "figures.json").write_text(
            json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8"
        )
        if found[-1]["status"]:
            sys.exit("\n".join(found[-1]["output"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())

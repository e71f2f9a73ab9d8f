"""The devices of torch, probed in a process of its own: a crash or a hang of torch becomes a finding."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import alignc

__all__ = ["Device", "Torch", "probe"]

SCRIPT = Path(alignc.__file__).parent / "runtime" / "base" / "machine.py"
PATIENCE = 90.0


@dataclass(frozen=True)
class Device:
    """A GPU: its name, its total and free memory in bytes, and whether it supports bfloat16."""

    name: str
    memory: int
    free: int
    bf16: bool


@dataclass(frozen=True)
class Torch:
    """The findings of torch: `trouble` is the error if torch does not load; `gloo` is empty if gloo works."""

    devices: tuple[Device, ...] = ()
    cuda: str | None = None
    gloo: str = ""
    trouble: str = ""


def probe(script: Path = SCRIPT, patience: float = PATIENCE) -> Torch:
    """Run the probe; each line of JSON that the process prints adds to the result."""
    command = [sys.executable, "-P", str(script)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False)
        said, trouble = done.stdout, (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
    except subprocess.TimeoutExpired as late:
        out = late.stdout or b""
        said = out.decode(errors="replace") if isinstance(out, bytes) else out
        trouble = f"no answer within {patience:g} s"
    return _read(said, trouble)


def _read(said: str, trouble: str) -> Torch:
    answer: dict[str, Any] = {}
    for line in said.splitlines():
        if line.startswith("{"):
            answer |= json.loads(line)
    if "devices" not in answer:
        return Torch(trouble=trouble, gloo="torch does not load")
    devices = tuple(Device(**each) for each in answer["devices"])
    return Torch(devices, answer["cuda"], answer.get("gloo", trouble))

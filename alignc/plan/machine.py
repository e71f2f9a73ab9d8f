"""How much memory a process has: as the user says, or as this machine shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

__all__ = ["Memory", "of_machine", "parse_size"]

UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
UNITS |= {
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
    "k": 1 << 10,
    "m": 1 << 20,
    "g": 1 << 30,
}


@dataclass(frozen=True)
class Memory:
    """Bytes that one process may use, and where the number comes from."""

    bytes: int
    source: str


def parse_size(text: str) -> int:
    """Read `16GiB`, `80GB`, `512 MiB` or a number of bytes. Raises ValueError for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    unit = (found.group(2) or "b").lower() if found else ""
    if found is None or unit not in UNITS:
        raise ValueError(f"`{text}` is no size; write 16GiB or 80GB")
    return int(float(found.group(1)) * UNITS[unit])


def of_machine(processes: int) -> Memory | None:
    """Find a GPU's memory where there is one, else this machine's, shared out among the processes."""
    gpu = _gpu()
    if gpu is not None:
        return Memory(gpu, "the GPU of this machine")
    try:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    share = "" if processes == 1 else f", shared by {processes} processes"
    return Memory(whole // processes, f"this machine's memory{share}") if whole > 0 else None


def _gpu() -> int | None:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    line = [tool, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=10, check=True)
        return min(int(size) for size in done.stdout.split()) << 20
    except (OSError, ValueError, subprocess.SubprocessError):
        return None

"""The memory of a process: given by the user, or read from this machine."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Memory", "most_of_machine", "of_machine", "parse_size"]

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
    """The bytes that one process may use, and the source of this number."""

    bytes: int
    source: str


def parse_size(text: str) -> int:
    """Read `16GiB`, `80GB`, `512 MiB` or a number of bytes. Raises ValueError for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", text)
    unit = (found.group(2) or "b").lower() if found else ""
    if found is None or unit not in UNITS:
        raise ValueError(f"`{text}` is not a size; write for example 16GiB or 80GB")
    return int(float(found.group(1)) * UNITS[unit])


def of_machine(processes: int) -> Memory | None:
    """Return the memory of the GPU if there is one, else that of this machine, divided among the processes."""
    gpu = _gpu()
    return Memory(gpu, "the GPU of this machine") if gpu is not None else _whole(processes)


def _whole(processes: int) -> Memory | None:
    """Share this machine's memory out."""
    try:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    share = "" if processes == 1 else f", shared by {processes} processes"
    return Memory(whole // processes, f"the memory of this machine{share}") if whole > 0 else None


def most_of_machine(processes: int, machines: int = 1) -> Memory | None:
    """Find what a process can have at the most: its GPU's memory where jobs surely use one, else with the swap.

    What needs more than this cannot run here; what needs less may still not fit.
    """
    beside = -(-processes // max(1, machines))
    gpu = _gpu() if _computes_on_gpus() else None
    if gpu is not None:
        return Memory(gpu, "the GPU of this machine")
    found = _whole(beside)
    return found and Memory(found.bytes + _swap() // beside, f"{found.source}, with swap")


def _computes_on_gpus() -> bool:
    """Tell whether the torch that is here was built for GPUs, and they are not hidden; it is not imported."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        return False
    found = importlib.util.find_spec("torch")
    try:
        text = (Path(str(found and found.origin)).parent / "version.py").read_text("utf-8")
    except OSError:
        return False
    return re.search(r"^cuda\b[^=\n]*=\s*'[\d.]+'", text, re.MULTILINE) is not None


def _swap() -> int:
    try:
        text = Path("/proc/meminfo").read_text("utf-8")
    except OSError:
        return 0
    found = re.search(r"^SwapTotal:\s*(\d+) kB", text, re.MULTILINE)
    return int(found[1]) << 10 if found else 0


@cache
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

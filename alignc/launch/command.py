"""The command line and the environment of a job; both are explicit and ignore the defaults of the machine."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alignc.contract.engines import ENGINES
from alignc.contract.environment import LAUNCHED

__all__ = ["command", "environment", "free_port", "usable_cores"]

IGNORED = ("ACCELERATE_", "FSDP_", "MEGATRON_LM_", "PARALLELISM_CONFIG_")
PLACES = ("GROUP_RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "RANK", "ROLE_RANK", "WORLD_SIZE")


def command(
    job: Path,
    launch: Mapping[str, Any],
    *,
    resume: bool = False,
    max_steps: int | None = None,
    limit: int | None = None,
    port: int | None = None,
) -> list[str]:
    """Build the `accelerate launch` line of a job folder; the explicit config file replaces the user's own."""
    line = [sys.executable, "-m", "accelerate.commands.launch"]
    line += ["--config_file", str(job / "accelerate.yaml")]
    if spawns(launch) and port is not None:
        line += ["--main_process_port", str(port)]
    line += [str(job / "train.py")]
    line += ["--resume"] if resume else []
    line += ["--max-steps", str(max_steps)] if max_steps is not None else []
    return line + (["--limit", str(limit)] if limit is not None else [])


def spawns(launch: Mapping[str, Any]) -> bool:
    """Return whether the launcher starts the ranks through the agent of torch, which needs a port."""
    return int(launch["num_processes"]) > 1 or not ENGINES[launch["engine"]].alone


def environment(
    base: Mapping[str, str], launch: Mapping[str, Any], cores: int
) -> tuple[dict[str, str], dict[str, str]]:
    """Build the environment of a job from that of the caller; the second value lists the removed variables.

    The cores are divided among the ranks, unless the caller sets the number of threads.
    """
    dropped = {
        key: value
        for key, value in base.items()
        if key.startswith(IGNORED) or (key in PLACES and int(launch["num_machines"]) == 1)
    }
    kept = {key: value for key, value in base.items() if key not in dropped}
    kept.setdefault("OMP_NUM_THREADS", str(max(1, cores // int(launch["num_processes"]))))
    kept.setdefault("TOKENIZERS_PARALLELISM", "false")
    package = str(Path(__file__).resolve().parents[2])
    path = [entry for entry in kept.get("PYTHONPATH", "").split(os.pathsep) if entry]
    kept["PYTHONPATH"] = os.pathsep.join([*path, package])
    kept[LAUNCHED] = "1"
    return kept, dropped


def usable_cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

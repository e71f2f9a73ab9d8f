"""The machine: processors, memory, devices, compilers, folders and the hub."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator
from pathlib import Path

from alignc.contract.cache import cache_folder, user_caches
from alignc.contract.versions import PACKAGES
from alignc.diagnostics import DiagnosticError
from alignc.doctor.finding import Finding, verdict
from alignc.doctor.probe import Torch
from alignc.launch.allow import permissions
from alignc.plan.machine import of_machine
from alignc.plan.show import gib

__all__ = ["access", "caches", "compilers", "hardware", "place"]

ROOMY = 1 << 30
PATIENCE = 5.0
REPAIR = f"install the torch that alignc was tested with: `pip install torch=={PACKAGES['torch'].tested}`"
NETWORK = "let the name of the machine resolve to one of its addresses, or set GLOO_SOCKET_IFNAME=lo"


def hardware(torch: Torch, needed: Collection[str]) -> Iterator[Finding]:
    """Check cores, memory, GPUs and the communication between processes."""
    yield Finding("machine", "cores", "ok", str(cores()))
    memory = of_machine(1) if not torch.devices else None
    if memory is not None:
        yield Finding("machine", "memory", "ok", gib(memory.bytes))
    yield from _devices(torch)
    said = torch.gloo or "works"
    state = verdict(not torch.gloo, "gloo" in needed)
    yield Finding("machine", "gloo", state, said, NETWORK if torch.gloo else None)


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _devices(torch: Torch) -> Iterator[Finding]:
    if torch.trouble:
        yield Finding("machine", "torch", "lacks", f"does not load: {torch.trouble}", REPAIR)
        return
    for number, device in enumerate(torch.devices):
        said = f"{device.name}, {gib(device.memory)}, {gib(device.free)} of it free"
        yield Finding("machine", f"GPU {number}", "ok", said)
    if torch.devices:
        narrow = all(device.bf16 for device in torch.devices)
        said = "supported by the GPU" if narrow else "not supported by this GPU: training uses float32"
        yield Finding("machine", "bf16", "ok" if narrow else "note", said)
    else:
        yield _no_device(torch)
        yield Finding("machine", "bf16", "note", "off by default on CPUs")


def _no_device(torch: Torch) -> Finding:
    if shutil.which("nvidia-smi") is None:
        return Finding("machine", "GPU", "note", "none: jobs run on the CPU")
    why = "this torch is built for CPUs" if torch.cuda is None else "torch cannot use any GPU"
    help_ = "install a torch with CUDA" if torch.cuda is None else "check CUDA_VISIBLE_DEVICES and the driver"
    return Finding("machine", "GPU", "note", f"a driver is installed, but {why}", help_)


def compilers(needed: Collection[str]) -> Iterator[Finding]:
    """Check the tools that DeepSpeed needs to build its CPU kernels."""
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    ways = {"g++": "install g++ (Debian: `apt install g++`)", "ninja": "pip install ninja"}
    for name, help_ in ways.items():
        found = shutil.which(name, path=beside)
        said = found or "not found; DeepSpeed needs it to build its CPU kernels"
        yield Finding(
            "machine", name, verdict(found is not None, name in needed), said, None if found else help_
        )


def caches() -> Iterator[Finding]:
    """Check the cache folders that jobs share."""
    yield place("folders", "cache", cache_folder(), "set ALIGNC_CACHE to a writable folder")
    yield place("folders", "hub's cache", hub_cache(), "set HF_HOME to a writable folder")


def hub_cache() -> Path:
    """Return the cache folder of the hub's models, by the same rules as the hub's library."""
    home = Path(os.environ.get("HF_HOME") or user_caches() / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()


def place(group: str, name: str, folder: Path, help_: str, wanted: int = 0) -> Finding:
    """Check that a folder, or its nearest existing parent, is writable and has enough free space."""
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            free = shutil.disk_usage(there).free
    except OSError as problem:
        said = f"{folder}: not writable ({problem.strerror})"
        return Finding(group, name, "lacks", said, help_)
    said = f"{folder}, {gib(free)} free"
    if wanted > free:
        return Finding(group, name, "lacks", f"{said}; the run needs about {gib(wanted)}", MAKE_ROOM)
    return Finding(group, name, "ok", said) if free > ROOMY else Finding(group, name, "note", said, MAKE_ROOM)


MAKE_ROOM = "free disk space, choose another disk, or lower `train.save_total_limit`"


def access(spec: Path | None, online: bool) -> Iterator[Finding]:
    """Check the permissions of specs, and with `online` also the hub."""
    try:
        given = permissions(spec or Path("spec.yaml"))
        many = f"{len(given.functions)} functions, {len(given.hosts)} hosts"
        there = given.file.is_file()
        said = (
            f"{given.file}: {many}" if there else "not found: functions and hosts need a flag of `alignc run`"
        )
        yield Finding("access", "alignc.toml", "ok" if there else "note", said)
    except DiagnosticError as error:
        for each in error.diagnostics:
            said = f"{each.span.file}:{each.span.line}: {each.message}"
            yield Finding("access", "alignc.toml", "lacks", said, each.help)
    if online:
        yield hub()


def hub() -> Finding:
    """Check that the hub answers; any answer counts."""
    address = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return Finding("access", "hub", "note", "not checked: HF_HUB_OFFLINE is set")
    try:
        request = urllib.request.Request(address, method="HEAD")
        with urllib.request.urlopen(request, timeout=PATIENCE):
            return Finding("access", "hub", "ok", address)
    except urllib.error.HTTPError:
        return Finding("access", "hub", "ok", address)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "reason", problem)
        help_ = "check the network, HTTPS_PROXY and HF_ENDPOINT, or use local folders in the spec"
        return Finding("access", "hub", "lacks", f"{address} does not answer: {reason}", help_)

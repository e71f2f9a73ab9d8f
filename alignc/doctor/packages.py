"""The packages of jobs, compared with the versions that were tested together."""

from __future__ import annotations

import platform
import sys
from collections.abc import Collection, Iterator
from importlib.metadata import PackageNotFoundError, version

from alignc.contract.versions import PACKAGES, release, within
from alignc.doctor.finding import Finding, verdict

__all__ = ["EXTRAS", "SHOWN", "installed", "packages"]

SHOWN = (
    "torch",
    "transformers",
    "accelerate",
    "deepspeed",
    "datasets",
    "peft",
    "safetensors",
    "tokenizers",
    "pydantic",
)
"""The packages of the table of versions that get a line: what a job runs on, and what reads the spec."""
EXTRAS = {
    "quant": (
        "bitsandbytes",
        "`train.optim: adamw_bnb_8bit` and `model.quantization`",
        "pip install 'alignc[quant]', or remove `model.quantization` and set `train.optim: adamw_torch_fused`",
    ),
    "vllm": (
        "vllm",
        "`data.sampler: vllm`",
        "pip install 'alignc[vllm]', or set `data.sampler: transformers`",
    ),
    "wandb": (
        "wandb",
        "`train.report_to: [wandb]`",
        "pip install 'alignc[wandb]', or remove it from `train.report_to`",
    ),
}
OLDEST = (3, 11)


def packages(needed: Collection[str]) -> Iterator[Finding]:
    """Check Python, the packages of every job, and the packages that only some specs need."""
    old = sys.version_info[:2] < OLDEST
    way_out = "install Python 3.11 or later" if old else None
    yield Finding("packages", "python", verdict(not old, True), platform.python_version(), way_out)
    for name in SHOWN:
        everywhere = not PACKAGES[name].marker
        yield _package(name, everywhere or platform.system() == "Linux" or name in needed)
    for extra, (name, for_what, help_) in EXTRAS.items():
        found = installed(name)
        state = verdict(found is not None, extra in needed)
        said = found or f"not installed; only {for_what} needs it"
        yield Finding("packages", name, state, said, help_ if state == "lacks" else None)


def installed(name: str) -> str | None:
    """Return the version of a package, or None if the package is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _package(name: str, needed: bool) -> Finding:
    package, found = PACKAGES[name], installed(name)
    help_ = f"pip install '{name}=={package.tested}'"
    if found is None:
        return Finding("packages", name, verdict(False, needed), "not installed", help_)
    if not within(found, package.span):
        said = f"{found} is installed, but {package.span} is needed"
        old = package.wrong and release(found) < release(package.floor)
        said += f": {package.wrong}" if old else ""
        return Finding("packages", name, verdict(False, needed), said, help_)
    if release(found) == release(package.tested):
        return Finding("packages", name, "ok", found)
    return Finding("packages", name, "note", f"{found}; alignc was tested with {package.tested}")

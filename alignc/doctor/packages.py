"""The packages of jobs, compared with the versions that were tested together."""

from __future__ import annotations

import platform
import sys
from collections.abc import Collection, Iterator
from importlib.metadata import PackageNotFoundError, version

from alignc.doctor.finding import Finding, verdict

__all__ = ["EXTRAS", "KNOWN", "installed", "packages"]

KNOWN = {
    "torch": ("2.13.0", "==2.13.0"),
    "transformers": ("5.23.0", ">=5.3.0,<6"),
    "accelerate": ("1.15.0", ">=1.12,<2"),
    "deepspeed": ("0.19.8", ">=0.18,<0.20"),
    "datasets": ("5.2.0", ">=4.0,<6"),
    "peft": ("0.21.2", ">=0.18,<1"),
    "safetensors": ("0.8.0", ">=0.5,<1"),
    "tokenizers": ("0.23.3", ">=0.22,<1"),
    "pydantic": ("2.14.3", ">=2.11,<3"),
}
"""Each package with its version in `constraints.txt` and its range in `pyproject.toml`."""
EXTRAS = {
    "vllm": ("`data.sampler: vllm`", "pip install 'alignc[vllm]', or set `data.sampler: transformers`"),
    "wandb": ("`train.report_to: [wandb]`", "pip install wandb, or remove it from `train.report_to`"),
}
OLDEST = (3, 11)


def packages(needed: Collection[str]) -> Iterator[Finding]:
    """Check Python, the packages of every job, and the packages that only some specs need."""
    old = sys.version_info[:2] < OLDEST
    way_out = "install Python 3.11 or later" if old else None
    yield Finding("packages", "python", verdict(not old, True), platform.python_version(), way_out)
    for name in KNOWN:
        yield _package(name, name != "deepspeed" or platform.system() == "Linux" or name in needed)
    for name, (for_what, help_) in EXTRAS.items():
        found = installed(name)
        state = verdict(found is not None, name in needed)
        said = found or f"not installed; only {for_what} needs it"
        yield Finding("packages", name, state, said, help_ if state == "lacks" else None)


def installed(name: str) -> str | None:
    """Return the version of a package, or None if the package is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _package(name: str, needed: bool) -> Finding:
    good, span = KNOWN[name]
    found = installed(name)
    if found is None:
        help_ = f"pip install '{name}=={good}'"
        return Finding("packages", name, verdict(False, needed), "not installed", help_)
    if found.partition("+")[0] == good:
        return Finding("packages", name, "ok", found)
    if not _within(found, span):
        way_out = f"pip install '{name}=={good}'"
        return Finding(
            "packages", name, verdict(False, needed), f"{found} is installed, but {span} is needed", way_out
        )
    return Finding("packages", name, "note", f"{found}; alignc was tested with {good}")


def _within(found: str, span: str) -> bool:
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:  # it is a dependency of the packages above
        return True
    return SpecifierSet(span).contains(found, prereleases=True)

"""The packages that alignc runs on, and their versions: the one table of `pyproject.toml`, `doctor` and every job."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["EXTRAS", "PACKAGES", "Package", "release", "within"]

Release = tuple[int, ...]
COMPARISONS: dict[str, Callable[[Release, Release], bool]] = {
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
}


@dataclass(frozen=True)
class Package:
    """A package that alignc depends on.

    `span` is its range in `pyproject.toml`, and `tested` its version in `constraints.txt`. `marker` limits the
    dependency to some machines. `wrong` is set where a version below the range runs and computes wrong numbers:
    it is the reason why a job refuses to start on such a version.
    """

    name: str
    span: str
    tested: str = ""
    marker: str = ""
    wrong: str = ""

    @property
    def floor(self) -> str:
        """Give the oldest version of the range."""
        return self.span.partition(",")[0].removeprefix(">=")

    @property
    def way_out(self) -> str:
        """Write the command that installs the package in its range."""
        return f"pip install '{self.name}{self.span}'"


LOST_GRADIENTS = (
    "below 0.19, ZeRO-2 loses gradients without a warning when a step has several micro-batches, and so does ZeRO-1 "
    "with offload: a gradient norm of 0.407 came out as 0.246 with offload, and one of 0.434 as 0.302 without it"
)
PACKAGES = {
    package.name: package
    for package in (
        Package("pydantic", ">=2.11.4,<3", "2.14.3"),
        Package("ruamel.yaml", ">=0.17.21,<0.20", "0.19.1"),
        Package("click", ">=8.0,<9", "8.5.1"),
        Package("rich", ">=13.0,<16", "15.0.0"),
        Package("jinja2", ">=3.1.6,<4", "3.1.6"),
        Package("sympy", ">=1.13.3,<2", "1.14.0"),
        Package("latex2mathml", ">=3.74,<4", "3.81.1"),
        Package("torch", ">=2.8,<3", "2.13.0"),
        Package("transformers", ">=5.4,<6", "5.23.0"),
        Package("accelerate", ">=1.1,<2", "1.15.0"),
        Package("deepspeed", ">=0.19,<0.20", "0.19.8", "platform_system == 'Linux'", LOST_GRADIENTS),
        Package("datasets", ">=3.0,<6", "5.2.0"),
        Package("peft", ">=0.19,<1", "0.21.2"),
        Package("safetensors", ">=0.4.3,<1", "0.8.0"),
        Package("tokenizers", ">=0.22.1,<1", "0.23.3"),
        Package("ninja", ">=1.11.1", "1.13.2"),
        Package("tensorboard", ">=2.14,<3", "2.21.0"),
    )
}
"""The packages that alignc always installs. `docs/compatibility.md` has the runs at both ends of the ranges."""
EXTRAS = {
    "quant": Package("bitsandbytes", ">=0.49,<1", "0.50.2"),
    "vllm": Package("vllm", ">=0.31,<0.33"),
    "wandb": Package("wandb", ">=0.19,<1"),
}
"""What only some specs need: the package of each extra."""


def release(version: str) -> Release:
    """Read the numbers of a version, without zeros at the end: `2.13.0+cpu` gives (2, 13)."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def within(version: str, span: str) -> bool:
    """Tell whether a version lies in a range such as `>=0.19,<0.20`. A release candidate counts as its release."""
    parts = [re.match(r"(>=|==|<)(.+)", part.strip()) for part in span.split(",")]
    return all(part and COMPARISONS[part[1]](release(version), release(part[2])) for part in parts)

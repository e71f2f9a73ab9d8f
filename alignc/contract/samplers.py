"""The samplers: what generates the responses of the policy, a row each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["IN_PROCESS", "SAMPLERS", "VLLM", "SamplerName", "SamplerRow"]

SamplerName = Literal["transformers", "vllm"]


@dataclass(frozen=True)
class SamplerRow:
    """A sampler by its name in `data.sampler`: the extra of alignc that it needs, and whether it needs a GPU."""

    name: SamplerName
    extra: str | None = None
    needs_gpu: bool = False


IN_PROCESS = SamplerRow("transformers")
"""The policy itself samples, in the process that trains it: what `data.sampler` is where it is left out."""
VLLM = SamplerRow("vllm", extra="vllm", needs_gpu=True)
SAMPLERS: Mapping[str, SamplerRow] = {row.name: row for row in (IN_PROCESS, VLLM)}

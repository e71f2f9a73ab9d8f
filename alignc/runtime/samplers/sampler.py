"""One call for every way of sampling: from the policy in this process, or through vLLM."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import nn

from ...contract.samplers import IN_PROCESS, SAMPLERS, VLLM
from ...contract.tables import look_up
from ..data.example import Tokens
from .sample import sample
from .sampling import Sampling
from .vllm import VllmSampler

__all__ = ["LocalSampler", "Sampler", "open_sampler"]


class Sampler(Protocol):
    """Samples responses from a policy. After a change of its weights ``refresh`` comes before the next call."""

    def __call__(
        self,
        prompts: Sequence[Tokens],
        keys: Sequence[int],
        sampling: Sampling,
        *,
        seed: int,
        batch_size: int,
        each: Callable[[], object],
        mixture: tuple[nn.Module, float] | None = None,
    ) -> list[tuple[Tokens, ...]]:
        """Sample as ``sample.sample`` does from its model."""

    def refresh(self) -> None:
        """Take over the policy's weights as they are now."""

    def close(self) -> None:
        """Release the resources of sampling."""


@dataclass(frozen=True, eq=False)
class LocalSampler:
    """Samples from the policy itself, in this process."""

    model: nn.Module

    def __call__(
        self,
        prompts: Sequence[Tokens],
        keys: Sequence[int],
        sampling: Sampling,
        *,
        seed: int,
        batch_size: int,
        each: Callable[[], object],
        mixture: tuple[nn.Module, float] | None = None,
    ) -> list[tuple[Tokens, ...]]:
        """Sample as ``sample.sample`` does."""
        return sample(
            self.model,
            prompts,
            keys,
            sampling,
            seed=seed,
            batch_size=batch_size,
            each=each,
            mixture=mixture,
        )

    def refresh(self) -> None:
        """Do nothing: the weights are the policy's own."""

    def close(self) -> None:
        """Do nothing: nothing is held."""


def open_sampler(kind: str, model: nn.Module, *, folder: Path, max_length: int | None) -> Sampler:
    """Open the sampler that a spec names, a row of the table of samplers.

    ``folder`` is where weights are put for vLLM to read, ``max_length`` the most tokens of prompt and response.
    Raises E806 for a name that the table does not have, E602 and E605 as ``VllmSampler`` does.
    """
    return OPENERS[look_up(SAMPLERS, kind, "sampler").name](model, folder, max_length)


OPENERS: Mapping[str, Callable[[nn.Module, Path, int | None], Sampler]] = {
    IN_PROCESS.name: lambda model, folder, max_length: LocalSampler(model),
    VLLM.name: lambda model, folder, max_length: VllmSampler(model, folder=folder, max_length=max_length),
}
"""How each sampler opens, from the policy, the folder for its weights and the longest row."""

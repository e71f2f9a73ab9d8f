"""Sampling in this process, one response at a time: less memory, more time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from ..data.example import Tokens
from .sample import sample
from .sampling import Sampling

__all__ = ["OneByOne"]


@dataclass(frozen=True, eq=False)
class OneByOne:
    """Samples from the policy itself, one response at a time."""

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
        """Sample as ``sample.sample`` does, in batches of one."""
        return sample(
            self.model, prompts, keys, sampling, seed=seed, batch_size=1, each=each, mixture=mixture
        )

    def refresh(self) -> None:
        """Do nothing: the weights are the policy's own."""

    def close(self) -> None:
        """Do nothing: nothing is held."""

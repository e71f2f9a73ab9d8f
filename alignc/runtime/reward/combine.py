"""A weighted sum of rewards, its parts kept by name."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from .sample import Sample, Scores, Source

__all__ = ["Part", "Reward"]

Part = tuple[str, float, Source]
"""A source with its name and its weight."""


class Reward:
    """The reward of a sample: the weighted sum of its sources."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)

    def __call__(self, samples: Sequence[Sample]) -> Scores:
        """Score samples; raises Failure where any source cannot."""
        scores = {name: source(samples) for name, _, source in self.parts}
        weights = {name: weight for name, weight, _ in self.parts}
        values = [
            sum(weights[name] * part[index] for name, part in scores.items()) for index in range(len(samples))
        ]
        return Scores([float(value) for value in values], scores)

    def close(self) -> None:
        """Free what the sources hold: processes, models."""
        for _, _, source in self.parts:
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

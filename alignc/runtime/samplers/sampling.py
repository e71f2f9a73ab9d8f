"""How responses are sampled: the settings, and the numbers that decide the draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..base.seeds import derive
from ..data.example import Tokens
from .stops import Stops

__all__ = ["Drawn", "Sampling", "uniforms"]


@dataclass(frozen=True)
class Sampling:
    """Settings of sampling: ``completions`` responses a prompt, of at most ``max_new_tokens`` each.

    Temperature 0 takes the likeliest token. ``top_k`` keeps this number of the likeliest tokens, ``top_p`` of those
    the likeliest that hold this share of their probability together, ``min_p`` of those the tokens that have at least
    this share of the likeliest one's probability. A response ends with the first of ``eos_ids`` that is drawn, or with
    the token that completes one of the strings of ``stops``.
    """

    completions: int
    max_new_tokens: int
    temperature: float
    top_p: float
    eos_ids: tuple[int, ...]
    pad_id: int
    top_k: int | None = None
    min_p: float = 0.0
    stops: Stops | None = None

    def __post_init__(self) -> None:
        """Refuse settings that give no response; the compiler has checked a spec's values before."""
        counts = (self.completions, self.max_new_tokens, 1 if self.top_k is None else self.top_k)
        if min(counts) < 1 or self.temperature < 0 or not 0 < self.top_p <= 1 or not 0 <= self.min_p <= 1:
            raise ValueError(f"nothing can be sampled with {self}")

    def ended(self, ids: Tokens) -> bool:
        """Tell whether a response came to its end, and was not cut off by ``max_new_tokens``."""
        return int(ids[-1]) in self.eos_ids or (self.stops is not None and self.stops.completed(ids.tolist()))


@dataclass(frozen=True, eq=False)
class Drawn:
    """A response: its tokens, and their log-probabilities under the sampling distribution.

    The distribution has the settings in it, temperature, top-k, top-p, min-p and mixture; a greedy choice has log 1.
    """

    tokens: Tokens
    logps: NDArray[np.float64]


def uniforms(seed: int, key: int, sample: int, count: int) -> NDArray[np.float64]:
    """Give numbers in (0, 1), one a position, that nothing but seed, key, sample and position decide.

    Philox counts positions, and numpy promises never to change its raw stream.
    """
    stream = np.random.Philox(key=derive(seed, "sample", key, sample)).random_raw(count)
    return np.asarray(((stream >> np.uint64(11)) + 0.5) * 2.0**-53, dtype=np.float64)

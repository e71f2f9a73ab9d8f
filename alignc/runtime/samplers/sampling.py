"""How responses are sampled: the settings, and the numbers that decide the draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..base.seeds import derive
from ..data.example import Tokens

__all__ = ["Drawn", "Sampling", "uniforms"]


@dataclass(frozen=True)
class Sampling:
    """Settings of sampling: ``completions`` responses a prompt, of at most ``max_new_tokens`` each.

    Temperature 0 takes the likeliest token. ``top_p`` keeps the likeliest tokens that hold this share of the
    probability together. A response ends with the first of ``eos_ids`` that is drawn.
    """

    completions: int
    max_new_tokens: int
    temperature: float
    top_p: float
    eos_ids: tuple[int, ...]
    pad_id: int

    def __post_init__(self) -> None:
        """Refuse settings that give no response; the compiler has checked a spec's values before."""
        if self.completions < 1 or self.max_new_tokens < 1 or self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"nothing can be sampled with {self}")


@dataclass(frozen=True, eq=False)
class Drawn:
    """A response: its tokens, and their log-probabilities under the sampling distribution.

    The distribution has the settings in it, temperature, top-p and mixture; a greedy choice has log 1.
    """

    tokens: Tokens
    logps: NDArray[np.float64]


def uniforms(seed: int, key: int, sample: int, count: int) -> NDArray[np.float64]:
    """Give numbers in (0, 1), one a position, that nothing but seed, key, sample and position decide.

    Philox counts positions, and numpy promises never to change its raw stream.
    """
    stream = np.random.Philox(key=derive(seed, "sample", key, sample)).random_raw(count)
    return np.asarray(((stream >> np.uint64(11)) + 0.5) * 2.0**-53, dtype=np.float64)

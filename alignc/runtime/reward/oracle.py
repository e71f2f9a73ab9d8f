"""Which of two responses is better, and how probably: by their rewards, or by a function of both."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from types import TracebackType
from typing import Any, Self

from ...contract.rewards import FUNCTION, REWARDS
from ...contract.tables import look_up
from ..data.template import Template
from .allowed import require_function
from .build import build_reward
from .combine import Reward
from .function import FunctionOfPairs
from .sample import Sample

__all__ = ["BradleyTerry", "Oracle", "build_oracle", "win_rates"]

Pairs = Sequence[tuple[Sample, Sample]]


class BradleyTerry:
    """σ(scale · (r₁ − r₂)); each sample is scored once, however many pairs it is in."""

    def __init__(self, reward: Reward, scale: float) -> None:
        self.reward, self.scale = reward, scale

    def __call__(self, pairs: Pairs) -> list[float]:
        """Compare pairs."""
        samples = {id(sample): sample for pair in pairs for sample in pair}
        values = dict(zip(samples, self.reward(list(samples.values())).values, strict=True))
        return [sigmoid(self.scale * (values[id(a)] - values[id(b)])) for a, b in pairs]

    def close(self) -> None:
        """Free what the reward holds."""
        self.reward.close()


class Oracle:
    """The probability that the first of two samples beats the second, for each pair."""

    def __init__(self, judge: BradleyTerry | FunctionOfPairs) -> None:
        self.judge = judge

    def __call__(self, pairs: Pairs) -> list[float]:
        """Compare pairs; raises Failure where it cannot."""
        return self.judge(pairs)

    def close(self) -> None:
        """Free what the oracle holds: processes, models."""
        self.judge.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def build_oracle(
    config: Mapping[str, Any], *, allowed: Sequence[str], device: Any, template: Template | None = None
) -> Oracle:
    """Build an oracle from its resolved section; a source of reward is read through Bradley and Terry.

    Raises as ``build_reward`` does.
    """
    row = look_up(REWARDS, config["kind"], "oracle")
    if row is FUNCTION:
        require_function(config["name"], allowed)
        both = bool(config["both_orders"])
        return Oracle(FunctionOfPairs(config["name"], float(config["timeout"]), both_orders=both))
    source, scale = (config, 1.0) if row.rewards is None else (config[row.rewards], float(config["scale"]))
    return Oracle(
        BradleyTerry(build_reward(source, allowed=allowed, device=device, template=template), scale)
    )


def win_rates(
    oracle: Callable[[Pairs], list[float]], groups: Sequence[Sequence[Sample]]
) -> list[list[float]]:
    """Give each sample's mean probability of beating a sample of its group, itself (½) included.

    Each unordered pair is asked for once; the other order follows from it. All groups are one call.
    """
    places = [(g, i, j) for g, group in enumerate(groups) for i, j in combinations(range(len(group)), 2)]
    chances = oracle([(groups[g][i], groups[g][j]) for g, i, j in places]) if places else []
    sums = [[0.5] * len(group) for group in groups]
    for (g, i, j), p in zip(places, chances, strict=True):
        sums[g][i] += p
        sums[g][j] += 1 - p
    return [[value / len(row) for value in row] for row in sums]


def sigmoid(x: float) -> float:
    """σ(x), without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))

"""The baselines: what a policy gradient subtracts from a reward, and what stands for a log-partition; a row each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

__all__ = [
    "BASELINES",
    "BATCH_MEAN",
    "CONSTANT",
    "CRITIC_VALUE",
    "GROUP_MEAN",
    "LEAVE_ONE_OUT",
    "LOG_PARTITION",
    "MEAN_WIN_RATE",
    "NO_BASELINE",
    "OTHER",
    "PARTITIONS",
    "BaselineRow",
    "PartitionName",
    "PartitionRow",
    "Reads",
]


class Reads(Enum):
    """Whose rewards a baseline reads."""

    NOBODY = "nobody"
    OTHERS = "the other responses to the prompt"
    GROUP = "all responses to the prompt"
    ROLLOUT = "all responses of the rollout"
    CRITIC = "the values of a critic"


Levels = Callable[[Sequence[float], Mapping[str, Any]], list[float]]
"""From the returns of a group's responses, and the fields of the baseline, to what each of them is compared with."""


@dataclass(frozen=True)
class BaselineRow:
    """A baseline by its `kind`.

    `text` is what `explain` subtracts from the return G_t. `levels` is its meaning in float64 for a rollout of one
    group; None where a critic gives a value to each token. `unbiased` says that the expected gradient keeps its
    direction and its scale.
    """

    name: str
    text: str
    reads: Reads
    unbiased: bool
    levels: Levels | None = None
    pair: bool = False
    """It takes exactly two responses to a prompt."""

    @property
    def grouped(self) -> bool:
        """Whether it reads other responses to the prompt, so that one response is too few."""
        return self.reads in (Reads.OTHERS, Reads.GROUP)

    @property
    def includes_itself(self) -> bool:
        """Whether a response is compared with a mean that it is a part of: of k, that scales by (k − 1)/k."""
        return self.reads in (Reads.GROUP, Reads.ROLLOUT)


def _mean(totals: Sequence[float], fields: Mapping[str, Any]) -> list[float]:
    return [math.fsum(totals) / len(totals)] * len(totals)


def _mean_of_others(totals: Sequence[float], fields: Mapping[str, Any]) -> list[float]:
    """For example, the others of [1, 0, 5] have the means [2.5, 3, 0.5]."""
    k = len(totals)
    return [math.fsum([*totals[:i], *totals[i + 1 :]]) / (k - 1) for i in range(k)]


NO_BASELINE = BaselineRow("none", "", Reads.NOBODY, True, lambda totals, fields: [0.0] * len(totals))
CONSTANT = BaselineRow(
    "constant", "b", Reads.NOBODY, True, lambda totals, fields: [float(fields["value"])] * len(totals)
)
BATCH_MEAN = BaselineRow("batch_mean", "mean of G_1 over the rollout", Reads.ROLLOUT, False, _mean)
LEAVE_ONE_OUT = BaselineRow(
    "leave_one_out", "mean of G_1 over the other responses to the prompt", Reads.OTHERS, True, _mean_of_others
)
OTHER = BaselineRow("other", "G_1 of the other response", Reads.OTHERS, True, _mean_of_others, pair=True)
GROUP_MEAN = BaselineRow(
    "group_mean", "mean of G_1 over the responses to the prompt", Reads.GROUP, False, _mean
)
CRITIC_VALUE = BaselineRow("value", "V_t", Reads.CRITIC, False)
BASELINES: Mapping[str, BaselineRow] = {
    row.name: row
    for row in (NO_BASELINE, CONSTANT, BATCH_MEAN, LEAVE_ONE_OUT, OTHER, GROUP_MEAN, CRITIC_VALUE)
}


PartitionName = Literal["batch_mean", "log_partition"]


@dataclass(frozen=True)
class PartitionRow:
    """What a rollout estimates in the place of a log-partition: its name, and the text of `explain`."""

    name: PartitionName
    text: str


MEAN_WIN_RATE = PartitionRow("batch_mean", "mean win rate of the rollout")
LOG_PARTITION = PartitionRow("log_partition", "log mean_j exp(η·P_j) / η, over the responses to the prompt")
PARTITIONS: Mapping[str, PartitionRow] = {row.name: row for row in (MEAN_WIN_RATE, LOG_PARTITION)}

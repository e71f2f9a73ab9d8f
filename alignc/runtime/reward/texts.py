"""Rewards that follow from the text and the row alone: verifiers and columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ...contract.failure import Failure
from ...contract.rewards import COLUMN, VERIFIER
from ...contract.tables import look_up
from ..data.columns import Fields
from .function import Expression
from .sample import Sample, Source, field_of, row_of
from .verifiers import VERIFIERS

__all__ = ["TEXT_SOURCES", "Column", "Verifier"]


class Verifier:
    """A built-in check that takes no time: 1 where a response passes, else 0. Expressions are `Expression`'s."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.check = look_up(VERIFIERS, config["name"], "verifier")
        self.column = config.get("answer")
        self.fixed = str(config.get("limit", ""))

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """Check samples. Failure E701 or E702 where a row lacks the answer."""
        return [self.check(sample.completion, self.wanted(sample)) for sample in samples]

    def wanted(self, sample: Sample) -> str:
        """Give what a response is held against."""
        if self.column is None:
            return self.fixed
        return str(field_of(sample, self.column, "the verifier's `answer`", (str, int, float, Decimal)))

    def close(self) -> None:
        """Hold nothing between calls."""


class Column:
    """A number of the row, the same for each of its responses."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, samples: Sequence[Sample]) -> list[float]:
        """Look the numbers up. Failure E701 or E702."""
        return [self.of(sample) for sample in samples]

    def of(self, sample: Sample) -> float:
        """Look one up."""
        value = field_of(sample, self.name, "the reward's column", (int, float, Decimal))
        try:
            return Fields(row_of(sample)).as_number(self.name, value)
        except Failure as failure:
            raise row_of(sample).failure(failure.code, f"{failure.message} ({sample.label})") from failure

    def close(self) -> None:
        """Hold nothing between calls."""


def verifier(config: Mapping[str, Any], around: Any) -> Source:
    """Build a verifier. A regular expression gets a process of its own, because its search may never end."""
    return Expression(config["pattern"]) if "pattern" in config else Verifier(config)


TEXT_SOURCES: Mapping[str, Callable[[Mapping[str, Any], Any], Source]] = {
    VERIFIER.name: verifier,
    COLUMN.name: lambda config, around: Column(config["name"]),
}
"""How each of these sources is built from its section and what is around reward models, by its kind."""

"""The aggregations of a policy gradient: how the tokens of a batch become one number, a row each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal

__all__ = ["AGGREGATIONS", "AggregationName", "AggregationRow", "Divides"]

AggregationName = Literal["token_mean", "sequence_mean", "global_token_mean", "fixed_length"]


class Divides(Enum):
    """By what the sum over a response's tokens is divided, before responses are averaged."""

    OWN_TOKENS = "the response's own tokens"
    NOTHING = "nothing"
    BATCH_TOKENS = "all tokens of the global batch, in the place of the mean over responses"
    LONGEST = "the tokens that a response may have"


@dataclass(frozen=True)
class AggregationRow:
    """An aggregation by its name in a spec."""

    name: AggregationName
    divides: Divides


AGGREGATIONS: Mapping[str, AggregationRow] = {
    row.name: row
    for row in (
        AggregationRow("token_mean", Divides.OWN_TOKENS),
        AggregationRow("sequence_mean", Divides.NOTHING),
        AggregationRow("global_token_mean", Divides.BATCH_TOKENS),
        AggregationRow("fixed_length", Divides.LONGEST),
    )
}

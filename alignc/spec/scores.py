"""What a response is worth to the policy: a row for each kind of score, by the name that a spec has for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

__all__ = [
    "F_RATIO",
    "LOG_ODDS",
    "LOG_PROB",
    "LOG_RATIO",
    "SCALAR_HEAD",
    "SCORES",
    "ScoreKind",
    "ScoreRow",
    "is_ratio",
]


ScoreKind = Literal["log_ratio", "log_prob", "log_odds", "f_ratio", "scalar_head"]
LOG_RATIO: Final = "log_ratio"
LOG_PROB: Final = "log_prob"
LOG_ODDS: Final = "log_odds"
F_RATIO: Final = "f_ratio"
SCALAR_HEAD: Final = "scalar_head"


@dataclass(frozen=True)
class ScoreRow:
    """A kind of score.

    `ratio`: taken to an anchor, the initial policy where none is named. `likelihood`: made of the policy's own
    log-probabilities, without an anchor. `letter` begins its symbol, as in `u_w`.
    """

    name: ScoreKind
    ratio: bool
    likelihood: bool
    letter: str


_ROWS = (
    ScoreRow(LOG_RATIO, True, False, "u"),
    ScoreRow(LOG_PROB, False, True, "l"),
    ScoreRow(LOG_ODDS, False, True, "o"),
    ScoreRow(F_RATIO, True, False, "f"),
    ScoreRow(SCALAR_HEAD, False, False, "s"),
)

SCORES: Mapping[str, ScoreRow] = {row.name: row for row in _ROWS}


def is_ratio(kind: str) -> bool:
    """Tell the scores that are taken to an anchor."""
    return SCORES[kind].ratio

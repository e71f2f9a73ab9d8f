"""The responses of a row: a row each, with everything that either side says of it.

A row of pairs has a chosen and a rejected response, in this order; a row of a group has `completions`, any number of
them under one name. `mismatched` is the response of another row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "CHOSEN",
    "COMPLETION",
    "COMPLETIONS",
    "GROUP",
    "MISMATCHED",
    "PAIR",
    "REJECTED",
    "RESPONSES",
    "SINGLE",
    "Response",
    "ResponseRow",
    "in_order",
]


class Response(StrEnum):
    """The responses of a row, in the order in which a row has them."""

    CHOSEN = "chosen"
    REJECTED = "rejected"
    COMPLETION = "completion"
    COMPLETIONS = "completions"
    MISMATCHED = "mismatched"


CHOSEN, REJECTED, COMPLETION, COMPLETIONS, MISMATCHED = Response
PAIR, SINGLE, GROUP = (CHOSEN, REJECTED), (COMPLETION,), (COMPLETIONS,)
"""The responses of a row of pairs, of single responses, and of groups."""


@dataclass(frozen=True)
class ResponseRow:
    """A response: whether a row has a group of them, and how it reads: `u_suffix`, and by itself in a formula."""

    name: Response
    grouped: bool
    suffix: str
    text: str
    latex: str


_ROWS = (
    ResponseRow(CHOSEN, False, "w", "y_w", "y_w"),
    ResponseRow(REJECTED, False, "l", "y_l", "y_l"),
    ResponseRow(COMPLETION, False, "y", "y", "y"),
    ResponseRow(COMPLETIONS, True, "i", "y_i", "y_i"),
    ResponseRow(MISMATCHED, False, "m", "y′", "y'"),
)

RESPONSES: Mapping[str, ResponseRow] = {row.name: row for row in _ROWS}


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Sort responses into the order in which a row has them."""
    found = set(names)
    return tuple(name for name in Response if name in found)

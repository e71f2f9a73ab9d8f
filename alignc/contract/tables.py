"""How a table of the contract is read: a row by the key that `job.json` gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from .failure import Failure

__all__ = ["look_up"]

Row = TypeVar("Row")


def look_up(table: Mapping[str, Row], key: object, noun: str) -> Row:
    """Look up the row of a key. Failure E806 where this runtime has no such row."""
    if not isinstance(key, str) or key not in table:
        raise Failure(
            "E806",
            f"this runtime does not know the {noun} `{key}`; it knows {', '.join(table)}",
            help="compile the spec again with the alignc that runs it",
        )
    return table[key]

"""Look fields up in a row by the names the objective uses, through the spec's ``columns:``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from ...contract.failure import Failure
from ...contract.layouts import PROMPT_WORDS
from .cells import conversation_in, number_in, value_in
from .chat import Text, chat_from
from .rows import Row

__all__ = ["Fields", "kind_of"]

_ABSENT = object()

# What others call it: offered in the help of E701, never taken silently.
_ELSEWHERE = {
    "prompt": PROMPT_WORDS,
    "completion": ("response", "output", "answer", "solution", "target"),
    "chosen": ("preferred", "accepted", "better", "positive", "winner"),
    "rejected": ("dispreferred", "worse", "negative", "loser", "rejected_response"),
    "completions": ("responses", "outputs", "answers"),
    "rewards": ("scores", "ratings"),
    "label": ("kto_tag", "labels", "is_desirable", "desirable"),
    "reward": ("score", "rating"),
}


@dataclass(frozen=True)
class Fields:
    """A row seen through ``columns:``; a look-up that fails raises E701 or E702 at the row's place."""

    row: Row
    columns: Mapping[str, str] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Tell whether the row has a value under this name that is not null."""
        value = self._find(name)
        return value is not _ABSENT and value is not None

    def value(self, name: str) -> Any:
        """Return the value, whatever its type."""
        value = self._find(name)
        if value is _ABSENT:
            raise self._absent(name)
        if value is None:
            raise self.wrong(name, "is null")
        return value

    def text(self, name: str) -> Text:
        """Return a string, or a conversation in the form {role, content}."""
        return self.as_text(name, self.value(name))

    def as_text(self, name: str, value: Any) -> Text:
        """Check one string or conversation, found under ``name``."""
        value = conversation_in(value)
        if isinstance(value, str):
            return self._unicode(name, value)
        if isinstance(value, Mapping) and value.keys() & {"role", "from"}:
            value = [value]
        if not isinstance(value, list):
            raise self.wrong(name, f"is {kind_of(value)}, not a string or a list of messages")
        chat = chat_from(value)
        if isinstance(chat, str):
            place, _, fault = chat.partition(" ")
            raise self.wrong(f"{name}{place}", fault)
        for index, turn in enumerate(chat):
            self._unicode(f"{name}[{index}].content", turn.get("content", ""))
        return chat

    def items(self, name: str) -> Sequence[Any]:
        """Return a list that is not empty."""
        items = self.listed(name)
        if not items:
            raise self.wrong(name, "is an empty list, not a list with at least one item")
        return items

    def listed(self, name: str) -> Sequence[Any]:
        """Return a list; in a table of text it stands in a cell as JSON."""
        value = self.value(name)
        items = value_in(value) if self.row.textual else value
        if not isinstance(items, list):
            raise self.wrong(name, f"is {kind_of(items)}, not a list with at least one item")
        return items

    def number(self, name: str) -> float:
        """Return a finite number; a boolean counts as 0 or 1."""
        return self.as_number(name, self.value(name))

    def as_number(self, name: str, value: Any) -> float:
        """Check one number, found under ``name``; a CSV file's cells are text and are converted."""
        if isinstance(value, str) and self.row.textual:
            value = number_in(value)
        if not isinstance(value, bool | int | float | Decimal):
            raise self.wrong(name, f"is {kind_of(value)}, not a number")
        try:
            number = float(value)
        except OverflowError:
            raise self.wrong(name, "is too large for a number in double precision") from None
        if not math.isfinite(number):
            raise self.wrong(name, f"is {value}, not a finite number")
        return number

    def wrong(self, name: str, what: str, help: str | None = None) -> Failure:  # noqa: A002
        """Build E702 for the field ``name``; ``what`` goes on after its name."""
        return self.row.failure("E702", f"`{name}` {what}".rstrip(), help)

    def _find(self, name: str) -> Any:
        path = self.columns.get(name, name)
        return _reach(self.row.fields, path) if path else _ABSENT

    def _absent(self, name: str) -> Failure:
        path = self.columns.get(name, name)
        shown = f"`{name}`" if path == name else f"`{path}` (columns.{name})"
        there = ", ".join(f"`{key}`" for key in self.row.fields) or "none"
        message = f"there is no column {shown}; the columns are {there}"
        return self.row.failure(
            "E701", message, f"name the column: `columns: {{{name}: {self._guess(name)}}}`"
        )

    def _guess(self, name: str) -> str:
        there = [str(key) for key in self.row.fields]
        known = [key for key in _ELSEWHERE.get(name, ()) if key in there]
        return (known or get_close_matches(name, there, n=1, cutoff=0.4) or ["COLUMN"])[0]

    def _unicode(self, name: str, text: str) -> str:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise self.wrong(name, "contains half of a surrogate pair, which is not a character") from None
        return text


def _reach(fields: Mapping[str, Any], path: str) -> Any:
    """Follow a dotted path into objects and lists; a column named so, dots and all, comes first."""
    if path in fields:
        return fields[path]
    value: Any = fields
    for step in path.split("."):
        if isinstance(value, Mapping) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return _ABSENT
    return value


def kind_of(value: Any) -> str:
    """Name a JSON value's type, with its article."""
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    names = {dict: "an object", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(
        type(value), "a number" if isinstance(value, int | float | Decimal) else type(value).__name__
    )

"""A guess of the columns of given rows, for `alignc init`; a run never guesses columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alignc.contract.kinds import ONLINE
from alignc.contract.layouts import FRAME, LAYOUTS, columns_of, unread
from alignc.diagnostics import did_you_mean

__all__ = ["KINDS", "Guess", "guess_columns"]

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "prompt": ("question", "instruction", "query", "input", "problem", "context", "user"),
    "completion": ("response", "output", "answer", "solution", "target", "reply", "assistant"),
    "chosen": ("good", "better", "preferred", "accepted", "positive", "winner", "win", "response_chosen"),
    "rejected": ("bad", "worse", "dispreferred", "negative", "loser", "lose", "response_rejected", "rejected_response"),
    "messages": ("conversations", "conversation", "dialog", "dialogue", "turns", "chat"),
    "completions": ("responses", "outputs", "answers", "candidates", "samples"),
    "rewards": ("scores", "ratings"),
    "label": ("kto_tag", "labels", "desirable", "is_desirable", "thumbs_up"),
    "reward": ("score", "rating", "value"),
    "win_rate": ("winrate", "win_prob", "probability"),
}  # fmt: skip
KINDS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "pairwise": (("prompt", "chosen", "rejected"), ("chosen", "rejected")),
    "demonstrations": (("messages",), ("prompt", "completion")),
    "pointwise": tuple(("prompt", "completion", mark) for mark in ("label", "reward", "win_rate")),
    "scored": (("prompt", "completions", "rewards"), ("prompt", "completions", "win_rates")),
    "prompts": (("prompt",),),
    "self_play": (("prompt",),),
}  # fmt: skip
"""The parts of a row by kind of data: one of the sets must be complete."""


@dataclass(frozen=True)
class Guess:
    """A kind of data, the column of each part, the columns around a prompt, and those that nothing reads."""

    kind: str
    columns: Mapping[str, str]
    around: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def renamed(self) -> dict[str, str]:
        """Return the parts whose column has another name; a spec must name these columns."""
        return {part: column for part, column in self.columns.items() if part != column}


def guess_columns(rows: Sequence[Mapping[str, Any]], kinds: Sequence[str]) -> Guess | None:
    """Find the first kind whose parts the rows have: as another tool lays rows out, by name or by a synonym."""
    there = list(dict.fromkeys(name for row in rows for name in _names(row)))
    whole = {name: value for row in rows for name, value in row.items() if value is not None}
    for kind in kinds:
        if guess := _laid_out(kind, whole):
            return guess
    for kind in kinds:
        for parts in KINDS.get(kind, ()):
            columns = _assigned(parts, there)
            if columns is not None:
                return _guess(kind, columns, whole)
    return None


def _laid_out(kind: str, fields: Mapping[str, Any]) -> Guess | None:
    """Guess by the layouts of a kind; the shared beginning as a prompt is the last resort, after synonyms."""
    found = columns_of(kind, fields, {})
    parts = next((own for own in LAYOUTS.get(kind, ()) if own.items() <= found.items()), None)
    if not parts or (kind == "pairwise" and len(parts) == 2 and "messages" not in parts):
        return None
    if kind == "scored" and len(parts) == 2 and not _objects(fields[parts["completions"]]):
        return None
    return _guess(kind, parts, fields)


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, Mapping) for item in value)


def _guess(kind: str, columns: Mapping[str, str], fields: Mapping[str, Any]) -> Guess:
    whole = columns_of(kind, fields, columns)
    around = tuple(whole[part] for part in FRAME if part in whole)
    left = () if kind in ONLINE else tuple(unread(fields, whole, columns.values()))
    return Guess(kind, dict(columns), around, left)


def _names(value: Mapping[str, Any], before: str = "") -> list[str]:
    """List the columns of a row; values inside objects have dotted paths."""
    found = []
    for name, inner in value.items():
        found.append(before + str(name))
        if isinstance(inner, Mapping) and before.count(".") < 3:
            found += _names(inner, f"{before}{name}.")
    return found


def _assigned(parts: Sequence[str], there: Sequence[str]) -> dict[str, str] | None:
    columns: dict[str, str] = {}
    for part in parts:
        left = [name for name in there if name not in columns.values()]
        found = _column(part, left)
        if found is None:
            return None
        columns[part] = found
    return columns


def _column(part: str, there: Sequence[str]) -> str | None:
    """Find the column of a part by its name, a synonym or a similar name, also inside an object."""
    words = (part, *SYNONYMS.get(part, ()))
    last = {name: name.rpartition(".")[2].lower() for name in there}
    for word in words:
        if found := next((name for name in there if last[name] == word), None):
            return found
    plain = [name for name in there if last[name] not in _TAKEN]
    return did_you_mean(part, plain)


_TAKEN = {word for part, words in SYNONYMS.items() for word in (part, *words)}

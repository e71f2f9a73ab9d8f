"""The layouts that rows come in: which columns of other tools are the parts of a row, a table for each kind of data.

The loader and `alignc init` read these tables. A layout is taken where all of its columns are in a row; the first one
wins, and columns that a spec names always win.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import Any

__all__ = ["FRAME", "LAYOUTS", "PROMPT_WORDS", "SCORE_KEYS", "TEXT_KEYS", "columns_of", "unread"]

Layout = Mapping[str, str]

PROMPT_WORDS = ("question", "instruction", "query", "input", "problem", "context", "user")
"""Other names of a prompt, which are offered in the help of a diagnostic."""

_PLAIN = {"prompt": "prompt", "completion": "completion"}
_ALPACA = {"prompt": "instruction", "completion": "output"}
_INPUT = {"prompt": "input", "completion": "output"}
_CHATS = ({"messages": "messages"}, {"messages": "conversations"})
_CHOSEN = {"chosen": "chosen", "rejected": "rejected"}
_PROMPTS = ("prompt", "instruction", "conversations", "messages", "context_messages")


def _pairs() -> Iterator[Layout]:
    yield from ({"prompt": name, **_CHOSEN} for name in (*_PROMPTS, "input", "question"))
    for rejected in ("rejected", "rejected_response", "rejected_messages"):
        yield from ({**chat, "rejected": rejected} for chat in _CHATS)
    yield _CHOSEN


def _marked() -> Iterator[Layout]:
    for mark, column in (
        ("label", "label"),
        ("label", "kto_tag"),
        ("reward", "reward"),
        ("win_rate", "win_rate"),
    ):
        yield from ({**parts, mark: column} for parts in (_PLAIN, _ALPACA, _INPUT, *_CHATS))


def _scored() -> Iterator[Layout]:
    for score in ({"rewards": "rewards"}, {"win_rates": "win_rates"}, {}):
        yield from (
            {"prompt": name, "completions": "completions", **score} for name in (*_PROMPTS, "question")
        )


def _prompts() -> Iterator[Layout]:
    yield from (_PLAIN, _ALPACA)
    yield from ({"prompt": name} for name in _PROMPTS)


LAYOUTS: Mapping[str, tuple[Layout, ...]] = {
    "pairwise": tuple(_pairs()),
    "demonstrations": (_PLAIN, *_CHATS, _ALPACA, _INPUT, {"text": "text"}),
    "pointwise": tuple(_marked()),
    "scored": tuple(_scored()),
    "prompts": tuple(_prompts()),
    "self_play": tuple(_prompts()),
}
"""The layouts of each kind: the column of each part. The part `messages` holds the prompt and the response."""

FRAME: Mapping[str, tuple[str, ...]] = {
    "system": ("system", "system_prompt"),
    "history": ("history",),
    "input": ("input",),
    "tools": ("tools",),
}
"""The columns that stand around a prompt and become part of it. `input` does so behind an `instruction`."""

TEXT_KEYS = ("response", "text", "completion", "output", "answer", "content")
"""The keys that hold the text of a response that is an object."""
SCORE_KEYS = ("score", "overall_score", "reward", "rating")
"""The keys that hold the score of a response that is an object."""


@lru_cache(maxsize=4096)
def _found(kind: str, there: frozenset[str], given: tuple[tuple[str, str], ...]) -> Layout:
    """Map each part to its column: those that are given, those of the first layout that fits, and the frame."""
    named = dict(given)
    columns = {**next((own for own in LAYOUTS.get(kind, ()) if _fits(own, there, named)), {}), **named}
    for part, names in FRAME.items():
        if part in named or (part == "input" and columns.get("prompt") != "instruction"):
            continue
        if column := next((name for name in names if name in there and name not in columns.values()), None):
            columns[part] = column
    return columns


def _fits(layout: Layout, there: frozenset[str], named: Layout) -> bool:
    """Tell whether a row has each part. A part that is named needs no look: the name is right, or it is refused."""
    alone = set(named) & {"prompt", "messages", "completion"} - set(layout)
    return not alone and all(part in named or column in there for part, column in layout.items())


def columns_of(kind: str, fields: Mapping[str, Any], columns: Mapping[str, str | None]) -> Layout:
    """Map each part of a row to its column, by the columns of the spec and the layouts of the kind.

    A column that the spec maps to its own name counts as not named. An empty name takes the part away.
    """
    there = frozenset(name for name, value in fields.items() if value is not None)
    given = tuple((part, name) for part, name in columns.items() if name is not None and name != part)
    return _found(kind, there, given)


def unread(fields: Collection[str], columns: Layout, needed: Collection[str] = ()) -> list[str]:
    """List the columns that no part of a row reads; ``needed`` are further ones that are read."""
    read = {name.partition(".")[0] for name in (*columns.values(), *needed)} | set(columns.values())
    return [name for name in fields if name not in read]

"""Conversations: lists of turns with a role and content, as chat templates take them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

__all__ = ["Chat", "Text", "Turn", "answer_start", "chat_from", "shared_turns"]

Turn = dict[str, Any]
Chat = tuple[Turn, ...]
Text = str | Chat

_SHAREGPT_ROLES = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant"}


def chat_from(value: Sequence[Any]) -> Chat | str:
    """Return the conversation, ShareGPT's {from, value} renamed; or where and how it is not one, as text."""
    if not value:
        return " has no turns"
    turns: list[Turn] = []
    for index, item in enumerate(value):
        turn = _turn(item)
        if isinstance(turn, str):
            return f"[{index}]{turn}"
        turns.append(turn)
    return tuple(turns)


def _turn(item: Any) -> Turn | str:
    if not isinstance(item, dict):
        return " is not an object with `role` and `content`"
    # Arrow gives every turn the keys of all; what is null was not there.
    turn = {key: value for key, value in item.items() if value is not None}
    if "from" in turn and "role" not in turn:
        turn["role"] = _SHAREGPT_ROLES.get(turn["from"], turn["from"]) if _is_text(turn["from"]) else None
        turn["content"] = turn.pop("value", None)
        del turn["from"]
    if not _is_text(turn.get("role")):
        return ".role is missing or not a string"
    if not _is_text(turn.get("content")) and not ("content" not in turn and turn.get("tool_calls")):
        return ".content is missing or not a string"
    return turn


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def shared_turns(first: Chat, second: Chat) -> int:
    """Count the turns that both conversations begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def answer_start(chat: Chat) -> int:
    """Return the index of the first of the assistant's turns at the end; the length if there are none."""
    trailing = takewhile(lambda turn: turn["role"] == "assistant", reversed(chat))
    return len(chat) - sum(1 for _ in trailing)

"""Conversations: lists of turns with a role and content, as chat templates take them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

__all__ = ["Chat", "Text", "Turn", "answer_start", "chat_from", "shared_turns", "tools_from"]

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
    turn: Turn = without_nulls(item)
    if "from" in turn and "role" not in turn:
        turn["role"] = _SHAREGPT_ROLES.get(turn["from"], turn["from"]) if _is_text(turn["from"]) else None
        turn["content"] = turn.pop("value", None)
        del turn["from"]
    if not _is_text(turn.get("role")):
        return ".role is missing or not a string"
    if not _is_text(turn.get("content")) and not ("content" not in turn and turn.get("tool_calls")):
        return ".content is missing or not a string"
    return turn if "tool_calls" not in turn else _with_calls(turn)


def without_nulls(value: Any) -> Any:
    """Leave out what is null in objects, however deep: Arrow gives every object the keys of all that stand there."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def _with_calls(turn: Turn) -> Turn | str:
    """Read the calls of a turn; their arguments may be JSON text, as APIs send them, and templates take objects."""
    calls = _read(turn["tool_calls"], list)
    if calls is None:
        return ".tool_calls is not a list of objects, and not JSON text of one"
    read: list[dict[str, Any]] = []
    for index, call in enumerate(calls):
        called = _with_arguments(call) if isinstance(call, dict) else " is not an object"
        if isinstance(called, str):
            return f".tool_calls[{index}]{called}"
        read.append(called)
    return {**turn, "tool_calls": read}


def _with_arguments(call: dict[str, Any]) -> dict[str, Any] | str:
    """Read the arguments of a call, which stand in it or in its `function`."""
    function = call.get("function")
    if isinstance(function, dict):
        inner = _with_arguments(function)
        return f".function{inner}" if isinstance(inner, str) else {**call, "function": inner}
    if "arguments" not in call:
        return call
    arguments = _read(call["arguments"] or {}, dict)
    return (
        ".arguments is not an object, and not JSON text of one"
        if arguments is None
        else {**call, "arguments": arguments}
    )


def _read(value: Any, kind: type) -> Any:
    """Return a value of a kind, or the one that is written as JSON text; None where it is neither."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, kind) else None


def tools_from(value: Any) -> list[dict[str, Any]] | None:
    """Return the descriptions of tools, each and all of them objects or JSON text; None where they are neither."""
    tools = _read(without_nulls(value), list)
    read = [_read(tool, dict) for tool in tools or ()]
    return None if tools is None or None in read else read


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def shared_turns(first: Chat, second: Chat) -> int:
    """Count the turns that both conversations begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def answer_start(chat: Chat) -> int:
    """Return the index of the first of the assistant's turns at the end; the length if there are none."""
    trailing = takewhile(lambda turn: turn["role"] == "assistant", reversed(chat))
    return len(chat) - sum(1 for _ in trailing)

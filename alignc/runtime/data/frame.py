"""What stands around a prompt in columns of its own: a system prompt, earlier turns, the input of an instruction."""

from __future__ import annotations

from typing import Any

from .chat import Chat, Text, Turn
from .columns import Fields, kind_of

__all__ = ["as_chat", "framed", "with_input"]


def as_chat(text: Text, role: str) -> Chat:
    """Return a conversation; a string becomes its only turn."""
    return ({"role": role, "content": text},) if isinstance(text, str) else text


def with_input(fields: Fields, prompt: Text) -> Text:
    """Write the column `input` on a new line behind the instruction. E702 where it is no text."""
    own = _text(fields, "input")
    if not own:
        return prompt
    if not isinstance(prompt, str):
        raise fields.wrong("input", "cannot follow a prompt that is a conversation")
    return f"{prompt}\n{own}"


def framed(fields: Fields, prompt: Text) -> Text:
    """Put the columns `system` and `history` before a prompt, which then is a conversation.

    E702 where they are of a wrong type, or where the prompt has another system prompt of its own.
    """
    system, history = _text(fields, "system"), _history(fields)
    if not system and not history:
        return prompt
    chat = as_chat(prompt, "user")
    own = chat[:1] if chat and chat[0]["role"] == "system" else ()
    if own and system and own[0].get("content") != system:
        raise fields.wrong("system", "differs from the system prompt of the conversation")
    first: Chat = own or (({"role": "system", "content": system},) if system else ())
    return (*first, *history, *chat[len(own) :])


def _text(fields: Fields, name: str) -> str:
    """Return the text of a column; "" where the row has none."""
    if name not in fields.columns or not fields.has(name):
        return ""
    value = fields.value(name)
    if not isinstance(value, str):
        raise fields.wrong(name, f"is {kind_of(value)}, not a string")
    return value if value.strip() else ""


def _history(fields: Fields) -> Chat:
    """Read earlier turns: pairs of a question and its answer, or messages."""
    if "history" not in fields.columns or not fields.has("history"):
        return ()
    value = fields.listed("history")
    if not value:
        return ()
    if isinstance(value[0], dict):
        chat = fields.as_text("history", value)
        return as_chat(chat, "user")
    return tuple(turn for index, pair in enumerate(value) for turn in _exchange(fields, index, pair))


def _exchange(fields: Fields, index: int, pair: Any) -> tuple[Turn, Turn]:
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
        raise fields.wrong(f"history[{index}]", "is not a pair of a question and its answer")
    return {"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}

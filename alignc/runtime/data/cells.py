"""Values that stand in a text: the cells of a CSV file, and conversations that were written as JSON."""

from __future__ import annotations

import ast
import json
from typing import Any

__all__ = ["conversation_in", "number_in", "value_in"]

_WORDS = {"true": 1.0, "false": 0.0}
_KEYS = ({"role", "content"}, {"from", "value"}, {"role", "tool_calls"})


def number_in(cell: str) -> Any:
    """Return the number that a cell holds, `true` and `false` among them, or the cell."""
    word = cell.strip().lower()
    try:
        return _WORDS[word] if word in _WORDS else float(cell)
    except ValueError:
        return cell


def value_in(cell: Any) -> Any:
    """Return the list or object that a text holds as JSON, or as Python prints it; else the text itself."""
    if not isinstance(cell, str) or not cell.lstrip().startswith(("[", "{")):
        return cell
    for read in (json.loads, ast.literal_eval):
        try:
            return read(cell.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return cell


def conversation_in(value: Any) -> Any:
    """Return the conversation that a text holds; whatever is not a conversation comes back as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    found = value_in(value)
    turns = found if isinstance(found, list) else [found]
    return found if turns and all(_is_turn(turn) for turn in turns) else value


def _is_turn(value: Any) -> bool:
    return isinstance(value, dict) and any(keys <= value.keys() for keys in _KEYS)

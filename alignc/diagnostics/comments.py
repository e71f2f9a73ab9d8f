"""The comments of a YAML text; a `#` inside quotes or a block of text is not a comment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from alignc.diagnostics.lines import split_lines

_BLOCK = re.compile(r"(?:^|[\s:\-])[|>][-+0-9]{0,2}$")
_OPENS_AFTER = " \t[{,"


@dataclass(frozen=True)
class Comment:
    """A comment: its line and column from 1, its text from the `#` on, and whether the line holds nothing else."""

    line: int
    column: int
    text: str
    alone: bool


@dataclass
class _State:
    quote: str = ""
    block_indent: int | None = None


def comments(text: str) -> Iterator[Comment]:
    """Yield the comments of a YAML text in order; no text makes this function raise."""
    state = _State()
    for number, line in enumerate(split_lines(text), 1):
        if _in_block(line, state):
            continue
        start = _comment_start(line, state)
        content = line[:start].rstrip()
        if start < len(line):
            yield Comment(number, start + 1, line[start:], not content)
        if not state.quote and _BLOCK.search(content):
            state.block_indent = _indent(line)


def _in_block(line: str, state: _State) -> bool:
    if state.block_indent is None:
        return False
    if not line.strip() or _indent(line) > state.block_indent:
        return True
    state.block_indent = None
    return False


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _comment_start(line: str, state: _State) -> int:
    """Return the index where the comment of a line starts, or the length of the line if it has no comment.

    `state` is updated when a quote opens or closes.
    """
    index, before = 0, " "
    while index < len(line):
        character = line[index]
        if state.quote:
            index += _inside_quotes(line, index, state)
        elif character == "#" and before in " \t":
            return index
        elif character in "'\"" and before in _OPENS_AFTER:
            state.quote = character
        index += 1
        before = character
    return len(line)


def _inside_quotes(line: str, index: int, state: _State) -> int:
    """Return the number of further characters of an escape or a doubled quote at `index`, else 0."""
    pair = line[index : index + 2]
    if (state.quote == '"' and pair[0] == "\\") or (state.quote == "'" and pair == "''"):
        return 1
    if pair[0] == state.quote:
        state.quote = ""
    return 0


__all__ = ["Comment", "comments"]

"""Text for a terminal: widths, tabs, and no character that would move the cursor."""

from __future__ import annotations

import unicodedata

_TAB = 4
_NO_WIDTH = {"Mn", "Me", "Cf"}
# Characters that turn the direction of the text around them: a line must show as it is stored.
_TURNING = set("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def width(character: str) -> int:
    """Return the number of terminal columns of a character: 0, 1 or 2."""
    if unicodedata.category(character) in _NO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cells(line: str) -> list[tuple[str, int]]:
    """Return for each code point of a line its printed text and its number of columns."""
    shown: list[tuple[str, int]] = []
    column = 0
    for character in line:
        text = " " * (_TAB - column % _TAB) if character == "\t" else _harmless(character)
        taken = len(text) if character == "\t" else width(text)
        shown.append((text, taken))
        column += taken
    return shown


def plain(text: str) -> str:
    """Return text from outside without control characters, except line feeds."""
    return "".join(character if character == "\n" else _harmless(character) for character in text)


def _harmless(character: str) -> str:
    point = ord(character)
    if point < 0x20:
        return chr(0x2400 + point)
    if character in _TURNING or 0x7F <= point < 0xA0 or 0xD800 <= point < 0xE000 or point in (0x2028, 0x2029):
        return "\ufffd"
    return character


__all__ = ["cells", "plain", "width"]

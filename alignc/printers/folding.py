"""Fold text at its spaces, so that no line of an emitted file is too long."""

from __future__ import annotations

__all__ = ["WIDTH", "folded"]

WIDTH = 110
"""How many columns a line of an emitted file has at most."""
OPENING, CLOSING, SIGNS = "([{", ")]}", "+−-·="


def folded(text: str, first: str = "", rest: str | None = None) -> list[str]:
    """Break a text into lines: the first after `first`, the others after `rest` (as `first`, where that is None).

    A formula is broken where the fewest brackets are open, before a sign: `a·(b + c) + d` becomes `a·(b + c)` and
    `+ d`.
    """
    room, after = WIDTH - len(first), first if rest is None else rest
    if len(text) <= room:
        return [(first + text).rstrip()]
    place = _break(text, room)
    return [(first + text[:place]).rstrip(), *folded(text[place:].lstrip(), after, after)]


def _break(text: str, room: int) -> int:
    """Find the best space within the room; in a word that is longer, where the room ends."""
    depth, best, place = 0, (1000, False, 0), room
    for at, character in enumerate(text[: room + 1]):
        depth += (character in OPENING) - (character in CLOSING)
        if character == " " and at >= room // 3:
            rated = (depth, text[at - 1] in SIGNS, -at)
            if rated < best:
                best, place = rated, at
    return place

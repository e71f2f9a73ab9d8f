"""Suggestions for misspelt words."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

_LONGEST = 64


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that `word` most likely misspells, or None if no candidate is close.

    The same letters in another case or with other separators always match. A word of up to five letters may differ
    by one edit, and a longer word by two edits; a swap of two neighbours is one edit. A likeness of 0.8 also matches.
    """
    known = list(dict.fromkeys(candidates))
    if len(word) > _LONGEST or not word:
        return None
    ranked = sorted((_distance_to(word, name), index) for index, name in enumerate(known))
    if not ranked or ranked[0][0] == float("inf"):
        return None
    return known[ranked[0][1]]


def _distance_to(word: str, name: str) -> float:
    """Return the distance to a candidate; it is infinite if the candidate is not close."""
    if word == name:
        return -1.0
    bare, target = _bare(word), _bare(name)
    if bare == target:
        return 0.0
    likeness = SequenceMatcher(None, bare, target).ratio()
    edits = edit_distance(bare, target)
    allowed = 1 if min(len(bare), len(target)) <= 5 else 2
    near = edits <= allowed and edits < min(len(bare), len(target))
    return edits + 1 - likeness if near or likeness >= 0.8 else float("inf")


def _bare(word: str) -> str:
    return "".join(character for character in word.casefold() if character not in "_- .")


def edit_distance(left: str, right: str) -> int:
    """Count the insertions, deletions, substitutions and swaps of neighbours that turn one word into the other.

    Optimal string alignment: no part of the text is edited twice.
    """
    before: list[int] = []
    above = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        row = [i]
        for j, b in enumerate(right, 1):
            best = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        before, above = above, row
    return above[-1]


__all__ = ["did_you_mean", "edit_distance"]

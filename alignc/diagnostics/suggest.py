"""The word that was meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

_LONGEST = 64


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that `word` most likely misspells, or None where none is near.

    The same letters in another case or with other separators always match; else one edit in a word of
    up to five letters, two in a longer one (a swap of neighbours is one), or a likeness of 0.8.
    """
    known = list(dict.fromkeys(candidates))
    if len(word) > _LONGEST or not word:
        return None
    ranked = sorted((_distance_to(word, name), index) for index, name in enumerate(known))
    if not ranked or ranked[0][0] == float("inf"):
        return None
    return known[ranked[0][1]]


def _distance_to(word: str, name: str) -> float:
    """Return how far a candidate is; infinite where it is no likely meaning."""
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
    """Count insertions, deletions, substitutions and swaps of neighbours from one word to the other.

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

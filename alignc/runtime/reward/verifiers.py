"""Verifiers of generated text: pure functions from (completion, what the row says) to a score in [0, 1]."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from fractions import Fraction

__all__ = ["VERIFIERS", "exact_match", "exact_number", "is_json", "last_number", "matches", "within_length"]

NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|-?\.\d+")


def last_number(text: str) -> Fraction | None:
    """Find the last number of a text, exactly; thousands may be set apart by commas.

    One of more digits than Python reads (`sys.get_int_max_str_digits`, 4300) is none.
    """
    numbers = NUMBER.findall(text)
    try:
        return Fraction(numbers[-1].replace(",", "")) if numbers else None
    except ValueError:
        return None


def exact_number(completion: str, answer: str) -> float:
    """Score 1 where the last number of the completion equals the last number of the answer."""
    given, wanted = last_number(completion), last_number(answer)
    return float(given is not None and given == wanted)


def exact_match(completion: str, answer: str) -> float:
    """Score 1 where the texts are equal but for the white space around them."""
    return float(completion.strip() == answer.strip())


def matches(completion: str, pattern: str) -> float:
    """Score 1 where a regular expression is found in the completion."""
    return float(re.search(pattern, completion) is not None)


def within_length(completion: str, limit: str) -> float:
    """Score 1 where the completion has no more than ``limit`` characters."""
    return float(len(completion) <= int(limit))


def is_json(completion: str, answer: str = "") -> float:
    """Score 1 where the completion is one JSON value, and equals ``answer`` where that is given."""
    try:
        value = json.loads(completion)
        return float(not answer or value == json.loads(answer))
    except (ValueError, RecursionError):
        return 0.0


VERIFIERS: Mapping[str, Callable[[str, str], float]] = {
    "exact_match": exact_match,
    "exact_number": exact_number,
    "json": is_json,
    "length": within_length,
    "regex": matches,
}

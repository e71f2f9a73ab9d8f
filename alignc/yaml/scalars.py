"""The value of a plain scalar in the core schema of YAML 1.2 (section 10.3.2)."""

from __future__ import annotations

import re

Scalar = str | int | float | bool | None

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{sign + word: float("inf") for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

LONGEST_INTEGER = 40
"""The largest number of characters of an integer.

Longer integers overflow a float, and from 4,300 digits on also Python's `int`.
"""


def resolve_scalar(text: str) -> Scalar:
    """Return the value of a plain scalar: None, a bool, a number, or the text itself.

    Raises OverflowError for an integer of more than LONGEST_INTEGER characters.
    """
    if text in _WORDS:
        return _WORDS[text]
    for pattern, base in ((_DECIMAL, 10), (_OCTAL, 8), (_HEXADECIMAL, 16)):
        if pattern.fullmatch(text):
            return _integer(text, base)
    return float(text) if _FLOAT.fullmatch(text) else text


def scalar_text(value: object) -> str:
    """Write a value as in YAML; `true`, `false` and `null` differ from Python."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)


def _integer(text: str, base: int) -> int:
    if len(text) > LONGEST_INTEGER:
        raise OverflowError(f"an integer of {len(text)} characters")
    return int(text, base)


__all__ = ["LONGEST_INTEGER", "Scalar", "resolve_scalar"]

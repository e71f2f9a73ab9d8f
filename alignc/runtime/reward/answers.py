"""Check what others answer: as many numbers as were asked for, all of them finite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

__all__ = ["Trouble", "probabilities", "scores_of"]


class Trouble(Exception):  # noqa: N818 - it becomes a Failure once the sample is known
    """What went wrong: a code, what the other side did, why, and at which entry where that is known."""

    def __init__(self, code: str, what: str, why: str | None = None, index: int | None = None) -> None:
        super().__init__(what)
        self.code, self.what, self.why, self.index = code, what, why, index


def scores_of(answer: Any, count: int) -> list[float]:
    """Check a list of numbers. Raises Trouble E809."""
    if not isinstance(answer, Sequence) or isinstance(answer, str):
        raise Trouble("E809", f"answered {type(answer).__name__}, not a list")
    if len(answer) != count:
        raise Trouble("E809", f"returned {plural(len(answer))} for {count}")
    for index, value in enumerate(answer):
        if isinstance(value, bool) or not isinstance(value, int | float):
            shown = value if isinstance(value, str) else type(value).__name__
            raise Trouble("E809", f"returned a value that is not a finite number: {shown}", index=index)
        if not finite(value):
            raise Trouble("E809", f"returned {value}, which is not finite", index=index)
    return [float(value) for value in answer]


def probabilities(answer: Any, count: int) -> list[float]:
    """Check a list of probabilities. Raises Trouble E809."""
    values = scores_of(answer, count)
    for index, value in enumerate(values):
        if not 0.0 <= value <= 1.0:
            raise Trouble("E809", f"returned {value:g}, which is not a probability", index=index)
    return values


def finite(value: float) -> bool:
    """Tell whether a number is finite as a float."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def plural(count: int) -> str:
    """Count numbers in words."""
    return "1 number" if count == 1 else f"{count} numbers"

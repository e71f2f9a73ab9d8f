"""Checkers: each tests one kind of claim by numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from alignc.claims.check.gradient import check_push, check_shift, check_slope, check_slope_at_start
from alignc.claims.check.start import check_step_zero
from alignc.claims.model import (
    Claim,
    Outcome,
    Push,
    Shift,
    Slope,
    SlopeAtStart,
    StepZero,
    Subject,
    Verdict,
)

__all__ = ["CHECKERS", "verdict"]

CHECKERS: Mapping[type[Claim], Callable[[Any, Subject], Verdict]] = {
    Slope: check_slope,
    SlopeAtStart: check_slope_at_start,
    Push: check_push,
    Shift: check_shift,
    StepZero: check_step_zero,
}


def verdict(claim: Claim, subject: Subject) -> Verdict:
    """Check a claim; a kind without a checker is undecided."""
    found = CHECKERS.get(type(claim))
    return Verdict(Outcome.UNDECIDED, "no checker") if found is None else found(claim, subject)

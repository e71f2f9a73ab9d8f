"""Checkers: each tests one kind of claim by numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from alignc.claims.checkers.ascent import check_ascends, check_later, check_later_differs, check_rests
from alignc.claims.checkers.descent import check_anchor, check_descends, check_no_rest, check_pull
from alignc.claims.checkers.gradient import check_push, check_shift, check_slope, check_slope_at_start
from alignc.claims.checkers.spec import (
    check_endless,
    check_model,
    check_recurrence,
    check_scaling,
    check_stated,
    check_turns,
    check_unbounded,
    check_variant,
)
from alignc.claims.checkers.start import check_step_zero
from alignc.claims.checkers.winrates import check_win_rates
from alignc.claims.kinds.descent import (
    Ascends,
    Descends,
    LaterAscends,
    LaterDiffers,
    NoRest,
    Pull,
    RestsAt,
    RestsAtAnchor,
    Undecided,
)
from alignc.claims.kinds.spec import (
    Endless,
    ModelRole,
    Prose,
    Recurrence,
    Scaling,
    Stated,
    Turns,
    Unbounded,
    Variant,
    WinRateOptimum,
)
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
    Descends: check_descends,
    Pull: check_pull,
    RestsAtAnchor: check_anchor,
    NoRest: check_no_rest,
    Ascends: check_ascends,
    LaterAscends: check_later,
    LaterDiffers: check_later_differs,
    RestsAt: check_rests,
    Stated: check_stated,
    Variant: check_variant,
    Scaling: check_scaling,
    ModelRole: check_model,
    Recurrence: check_recurrence,
    Endless: check_endless,
    Turns: check_turns,
    Unbounded: check_unbounded,
    WinRateOptimum: check_win_rates,
    Prose: lambda claim, subject: Verdict(Outcome.UNDECIDED, "a text without a check"),
    Undecided: lambda claim, subject: Verdict(Outcome.UNDECIDED, "; ".join(claim.known)),
}


def verdict(claim: Claim, subject: Subject) -> Verdict:
    """Check a claim; a kind without a checker is undecided."""
    found = CHECKERS.get(type(claim))
    return Verdict(Outcome.UNDECIDED, "no checker") if found is None else found(claim, subject)

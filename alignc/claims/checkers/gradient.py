"""Check what is said of the gradient, by central differences of the loss on random batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from alignc.claims.checkers.batches import Place, Trial, places, trials, within
from alignc.claims.model import (
    Outcome,
    Push,
    Shift,
    ShiftWay,
    Slope,
    SlopeAtStart,
    Subject,
    Verdict,
    Way,
    When,
)
from alignc.claims.slopes import slope
from alignc.contract.models import POLICY
from alignc.contract.responses import PAIR
from alignc.graph.evaluate import evaluate
from alignc.graph.nodes import Column, Length, Logp, Named, NamedRole, Node
from alignc.graph.walk import walk

__all__ = ["check_push", "check_shift", "check_slope", "check_slope_at_start"]

CLOSE = 1e-6
TINY = 1e-8
STEEP = 1e4
SPREADS = (1.0, 10.0, 60.0)
STEPS = (1e-5, 1e-6, 1e-7)
"""Steps of differences: a smaller one is taken where the loss bends within a larger one."""
WIDE = 1e-3
"""The step of differences by tokens of equal slopes: it bends the loss for all of them alike."""
NEAR = 1e-9
"""Nats per token between the policy and the other models where a clamp holds hardly any of them."""
ROUNDING = 1e-14
"""The part of a loss that no difference of two losses sees."""
FINE = 1e-2
"""The part of a slope that its rounding may be, where slopes are told apart."""


def _taken(value: Any, place: Place) -> float:
    """Read a number; one that is spread over a finer axis is found at the end of the way."""
    for step in place:
        if not isinstance(value, list):
            break
        value = value[step]
    while isinstance(value, list):
        value = value[0]
    return float(value)


def _scale(trial: Trial, by_row: bool, leaf: Node) -> float:
    return 1 / len(trial.given[leaf]) if by_row else 1.0


def _ends(value: Any) -> list[Place]:
    """List the ways to the first and the last number of each row."""
    by_row: dict[int, list[Place]] = {}
    for place in places(value):
        by_row.setdefault(place[0], []).append(place)
    return [end for found in by_row.values() for end in dict.fromkeys((found[0], found[-1]))]


def check_slope(claim: Slope, subject: Subject) -> Verdict:
    """Compare the formula with differences of the loss, at each number of a batch."""
    worst = 0.0
    for trial in trials(subject.loss, 11, extra=(claim.value, claim.leaf)):
        stated = evaluate(claim.value, trial.given)
        scale = _scale(trial, claim.by_row, claim.leaf)
        for place in _ends(trial.given[claim.leaf]):
            worst = max(worst, _apart(trial, claim.leaf, place, scale * _taken(stated, place)))
    return within(worst, CLOSE, "central differences on random batches")


def _apart(trial: Trial, leaf: Node, place: Place, derived: float) -> float:
    """Return how far a slope is from differences of the loss, relative to it; no number is infinitely far."""
    least = math.inf
    for step in STEPS:
        rounding = ROUNDING * abs(trial.value()) / step
        gap = (abs(trial.slope(leaf, place, step) - derived) - rounding) / (1 + abs(derived))
        least = min(least, math.inf if math.isnan(gap) else max(0.0, gap))
        if least < CLOSE:
            break
    return least


def check_slope_at_start(claim: SlopeAtStart, subject: Subject) -> Verdict:
    """Compare the number with differences where the policy is the reference; at a kink, with both sides."""
    if abs(claim.value) > STEEP:
        return Verdict(Outcome.UNDECIDED, "the loss is too steep for differences")
    worst = 0.0
    for trial in trials(subject.loss, 12, 2, extra=(claim.leaf,), start=True):
        rows = len(trial.given[claim.leaf])
        for place in _ends(trial.given[claim.leaf]):
            left, right = (rows * trial.one_sided(claim.leaf, place, side) for side in (-1, 1))
            outside = max(min(left, right) - claim.value, claim.value - max(left, right), 0.0)
            worst = max(worst, outside / (1 + abs(claim.value)))
    return within(worst, 100 * CLOSE, "differences on both sides, where the policy is the reference")


# ---- the way of a response --------------------------------------------------------------------------------------


def check_push(claim: Push, subject: Subject) -> Verdict:
    """Look at the signs of the derivative in many rows."""
    seen = list(_signs(claim, subject))
    if not seen:
        return Verdict(Outcome.UNDECIDED, "the numbers leave float64")
    found = {s for s, _ in seen} - {0}
    if claim.way is Way.UNDECIDED or (claim.way is Way.EITHER and len(found) < 2):
        return Verdict(Outcome.UNDECIDED, f"{len(seen)} slopes, of the signs {sorted(found)}")
    if claim.way is Way.EITHER:
        return Verdict(Outcome.HOLDS, f"{len(seen)} slopes have both signs")
    wrong = [s for s, by in seen if s and s != _wanted(claim.way, by)]
    outcome = Outcome.REFUTED if wrong else Outcome.HOLDS
    return Verdict(outcome, f"{len(wrong)} of {len(seen)} slopes have another sign")


def _wanted(way: Way, by: float) -> int:
    """Give the sign of the derivative; `by` is the label, as 1 and −1, or the advantage."""
    one = 1 if by > 0 else -1
    signs = {Way.RAISES: -1, Way.LOWERS: 1, Way.KEEPS: 0, Way.BY_LABEL: -one, Way.AGAINST_LABEL: one}
    return signs.get(way, -one)


def _signs(claim: Push, subject: Subject) -> Iterator[tuple[int, float]]:
    """List the sign of each derivative that is a number, with the label or the advantage that it belongs to."""
    own, start = slope(subject.loss, claim.leaf), claim.when is When.START
    count = 20 if claim.way is Way.EITHER else 6
    for spread in SPREADS:
        for trial in trials(subject.loss, 13, count, extra=(claim.leaf, own), spread=spread, start=start):
            by, found = _judging(claim.way, trial), evaluate(own, trial.given)
            for place in places(trial.given[claim.leaf]):
                one = _taken(found, place)
                if math.isnan(one):  # such as 0·∞, of the side of a label that does not count
                    continue
                yield 0 if abs(one) < TINY else 1 if one > 0 else -1, _taken(by, place)


def _judging(way: Way, trial: Trial) -> Any:
    """Evaluate the label, as 1 and −1, or the advantage."""
    if way in (Way.BY_LABEL, Way.AGAINST_LABEL):
        label = next(n for n in walk(trial.root) if isinstance(n, Column) and n.name == "label")
        return _centred(trial.given[label])
    if way is Way.BY_ADVANTAGE:
        nodes = [n for n in walk(trial.root) if isinstance(n, Named) and n.role is NamedRole.ADVANTAGE]
        return evaluate(nodes[0], trial.given)
    return 0.0


def _centred(value: Any) -> Any:
    return [_centred(v) for v in value] if isinstance(value, list) else 2 * value - 1


# ---- both log-probabilities together ----------------------------------------------------------------------------


def check_shift(claim: Shift, subject: Subject) -> Verdict:
    """Lower both log-probabilities of every pair, and compare the losses."""
    if claim.way is ShiftWay.UNDECIDED:
        return Verdict(Outcome.UNDECIDED)
    if claim.way is ShiftWay.BY_TOKEN:
        return _by_token(subject)
    means = claim.way is ShiftWay.SAME_MEANS
    changes = [_change(trial, means=means) for trial in _single_rows(subject)]
    if not all(map(math.isfinite, changes)):
        return Verdict(Outcome.UNDECIDED, "the numbers leave float64")
    rose, fell = (any(side * c > 1e-9 for c in changes) for side in (1, -1))
    seen = {
        ShiftWay.SAME: not rose and not fell,
        ShiftWay.SAME_MEANS: not rose and not fell,
        ShiftWay.RISES: rose and not fell,
        ShiftWay.FALLS: fell and not rose,
        ShiftWay.DEPENDS: rose and fell,
    }
    evidence = f"changes of the loss: {min(changes):.3g} to {max(changes):.3g}"
    if claim.way is ShiftWay.DEPENDS and rose is not fell:
        return Verdict(Outcome.UNDECIDED, evidence)
    return Verdict(Outcome.HOLDS if seen[claim.way] else Outcome.REFUTED, evidence)


def _single_rows(subject: Subject) -> Iterator[Trial]:
    lengths = tuple(Length(y) for y in subject.loss.view.responses)
    for spread in SPREADS:
        yield from trials(subject.loss, 14, 8, extra=lengths, spread=spread)


def _change(trial: Trial, *, means: bool, step: float = 1e-3) -> float:
    """Lower both responses of the first row by one amount: of the sum, or of the mean per token."""
    lowered: dict[Node, Any] = {}
    for leaf, value in trial.given.items():
        if isinstance(leaf, Logp) and leaf.model == POLICY and leaf.response in PAIR:
            size = step * len(value[0]) if means else step
            lowered[leaf] = moved_first(value, -size)
    before, after = trial.value(), trial.value(lowered)
    change = (after - before) / step
    return 0.0 if abs(change) < 1e-9 * (1 + abs(before)) else change


def moved_first(value: Any, step: float) -> Any:
    """Add a step to the first token of the first row."""
    return [[value[0][0] + step, *value[0][1:]], *value[1:]]


def _by_token(subject: Subject) -> Verdict:
    """Find a response whose tokens have different slopes; slopes below the rounding of the loss decide nothing."""
    coarse = False
    for trial in trials(subject.loss, 15, 20):
        rounding = ROUNDING * abs(trial.value()) / WIDE
        for leaf, value in trial.given.items():
            if isinstance(leaf, Logp) and leaf.model == POLICY:
                slopes = [trial.slope(leaf, (0, t), WIDE) for t in range(len(value[0]))]
                size = max(map(abs, slopes))
                if max(slopes) - min(slopes) > CLOSE * size + 2 * rounding:
                    return Verdict(Outcome.HOLDS, "tokens of one response have different slopes")
                coarse = coarse or not rounding <= FINE * size
    if coarse:
        return Verdict(Outcome.UNDECIDED, "the slopes are too small beside the loss for differences")
    if _nearby(subject):
        return Verdict(
            Outcome.UNDECIDED, "slopes differ only where the policy is too near to others for differences"
        )
    return Verdict(Outcome.REFUTED, "all tokens of a response have the same slope")


def _nearby(subject: Subject) -> bool:
    """Tell whether the formula of a slope differs between tokens next to the other models, such as within a clamp."""
    for response in subject.loss.view.responses:
        leaf = Logp(POLICY, response)
        own = slope(subject.loss, leaf)
        for trial in trials(subject.loss, 16, extra=(leaf, own), spread=NEAR):
            stated = evaluate(own, trial.given)
            rows = [[_taken(stated, (0, *p)) for p in places(tokens)] for tokens in trial.given[leaf][:1]]
            if any(max(row) != min(row) for row in rows):
                return True
    return False

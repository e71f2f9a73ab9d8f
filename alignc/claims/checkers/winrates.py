"""Check the optimum of a regression on win rates, on samples of the anchor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from alignc.claims.checkers.batches import within
from alignc.claims.kinds.spec import WinRateOptimum
from alignc.claims.model import Outcome, Subject, Verdict
from alignc.verify.objectives import TOY
from alignc.verify.rows import average_rate, rows_of_data, win_rates
from alignc.verify.toy import Array, Expected, Toy, log_softmax

__all__ = ["check_win_rates"]


def check_win_rates(claim: WinRateOptimum, subject: Subject) -> Verdict:
    """Compute the stated policy on a toy, and look at the gradient there."""
    toy = replace(TOY, sampler=TOY.reference)
    rates = win_rates(toy)
    level = average_rate(toy, claim.eta, claim.baseline)
    if claim.exact:
        policy: Array | None = log_softmax(toy.reference + claim.eta / claim.beta * rates)
    else:
        policy = _tilted(toy, claim.eta * (rates - level) / claim.beta)
    if policy is None:
        return Verdict(Outcome.UNDECIDED, "on the toy, no κ makes π sum to 1")
    if float(np.ptp(policy)) > 600:
        return Verdict(Outcome.UNDECIDED, "on the toy, the optimum leaves float64")
    expected = Expected(subject.loss, toy, rows_of_data(subject.loss, toy))
    zeros = np.zeros(toy.size + 1)
    found = expected.gradient(np.concatenate([policy, zeros]))[: toy.size]
    start = expected.gradient(np.concatenate([toy.reference, zeros]))[: toy.size]
    scale = max(1e-300, float(np.abs(start).max()))
    gap = float(np.abs(found).max()) / scale
    return within(gap, 1e-6, "the expected gradient at the stated policy")


def _tilted(toy: Toy, target: Array) -> Array | None:
    """Solve u + κ·e^u = t with κ ≥ 0 that normalises, by the logarithm of κ; None if there is none."""

    def mass(log_kappa: float) -> float:
        return float(np.exp(toy.reference + target - _lambert(log_kappa + target)).sum())

    with np.errstate(over="ignore"):
        if float(np.exp(toy.reference + target).sum()) < 1 - 1e-12:
            return None
    low, high = -float(np.abs(target).max()) - 800.0, float(np.abs(target).max()) + 800.0
    with np.errstate(over="ignore"):
        for _ in range(300):
            middle = (low + high) / 2
            low, high = (middle, high) if mass(middle) > 1 else (low, middle)
    return log_softmax(toy.reference + target - _lambert((low + high) / 2 + target))


def _lambert(y: Array) -> Array:
    """Solve w + log w = y for w > 0, by Newton's method."""
    w: Array = np.where(y > 1, np.maximum(y - np.log(np.maximum(y, 1.0)), 1e-300), np.exp(np.minimum(y, 1.0)))
    for _ in range(60):
        w = np.asarray(np.maximum(w - (w + np.log(np.maximum(w, 1e-320)) - y) * w / (1 + w), 1e-320))
    return w

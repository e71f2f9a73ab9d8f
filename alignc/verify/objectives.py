"""Claims about any objective: its gradient, its gauge and its first step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from alignc.contract.models import POLICY
from alignc.graph import build as b
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Logp
from alignc.graph.walk import walk
from alignc.lower.loss import Loss, alone
from alignc.verify.report import Claim, Verdict, judged
from alignc.verify.rows import rows_of_data
from alignc.verify.toy import Array, Expected, Toy, central_differences, log_softmax

__all__ = ["TOY", "agreement", "differences", "first_step", "gauge", "gradients", "theta_of"]

TOY = Toy(
    (3, 5, 4, 7),
    log_softmax(np.array([0.4, -0.3, 0.1, -0.6])),
    log_softmax(np.array([-0.2, 0.5, -0.4, 0.3])),
    np.array([0.9, -0.4, 0.3, -0.8]),
)
"""Four responses of different length; the sampler is not the reference, and gives every response a chance."""
CLOSE = 1e-6
ROUNDING = 1e-6
"""The part of a loss below which a gradient is compared absolutely."""
STEPS = (1e-3, 1e-4, 1e-5, 1e-6)


def theta_of(policy: Array, toy: Toy) -> Array:
    """Lay the parameters out: logits, a learned value, and scores, which start at 0."""
    return np.concatenate([policy, np.zeros(toy.size + 1)])


def gradients(loss: Loss, toy: Toy) -> Claim:
    """Compare the derived gradient with differences of the expected loss, stop-gradients held."""
    expected = Expected(loss, toy, rows_of_data(loss, toy))
    random = np.random.default_rng(0)
    places = [theta_of(toy.reference, toy) + random.normal(0, 0.3, 2 * toy.size + 1) for _ in range(3)]
    pairs = [
        (expected.gradient(t), differences(lambda x, at=t: expected.loss(x, at), t), expected.loss(t))  # type: ignore[misc]
        for t in places
    ]
    return agreement("gradient", pairs)


def differences(function: Callable[[Array], float], theta: Array) -> list[Array]:
    """Differentiate a function numerically, with several steps: a kink or a steep place spoils some of them."""
    with np.errstate(all="ignore"):
        return [central_differences(function, theta, step) for step in STEPS]


def agreement(about: str, pairs: list[tuple[Array, list[Array], float]]) -> Claim:
    """Judge derived gradients by differences of values of a size, whose rounding no difference sees through.

    Refuted where differences settle elsewhere, undecided where they don't settle.
    """
    worst, spread = 0.0, 0.0
    with np.errstate(all="ignore"):
        for derived, counted, value in pairs:
            size = float(np.abs(derived).max()) + ROUNDING * abs(value) + 1e-300
            gaps = [float(np.abs(derived - c).max()) / size for c in counted]
            apart = [float(np.abs(x - y).max()) / size for x, y in pairwise(counted)]
            if np.all(np.isfinite(derived)):
                worst = max(worst, min((g for g in gaps if np.isfinite(g)), default=np.inf))
            else:
                worst = np.inf
            spread = max(spread, min((a for a in apart if np.isfinite(a)), default=np.inf))
    says = "the derived gradient equals differences of the expected loss"
    if worst < CLOSE:
        return Claim(about, says, "", worst, Verdict.HOLDS)
    if spread > CLOSE / 3 or not np.isfinite(worst):
        found = f"not decided: differences of two steps are {spread:.1e} apart"
        return Claim(about, says, found, worst if np.isfinite(worst) else None, Verdict.UNDECIDED)
    return Claim(about, says, "", worst, Verdict.REFUTED)


def gauge(loss: Loss, toy: Toy) -> Iterator[Claim]:
    """Check whether the coefficients of a pair cancel, as explain says."""
    if not loss.view.pair:
        return
    slopes = [gradient(alone(loss.root), Logp(POLICY, y)) for y in loss.view.responses]
    if any(s.type.axis.by_token for s in slopes):
        return
    cancel = b.add(*slopes) == b.ZERO
    expected = Expected(loss, toy, rows_of_data(loss, toy))
    worst = 0.0
    for move in (toy.rewards, -toy.rewards, 3 * toy.rewards[::-1]):
        theta = theta_of(log_softmax(toy.sampler + move), toy)
        w, l = (expected.coefficients(theta, y) for y in loss.view.responses)
        size = float(max(np.abs(w).max(), np.abs(l).max()))
        gap = float(np.abs(w + l).max()) / (size or 1.0)
        worst = max(worst, gap) if np.isfinite(gap) else np.inf
    if not np.isfinite(worst):
        yield Claim("gauge", "whether the coefficients of a pair cancel", "not decided: they overflow", None,
                    Verdict.UNDECIDED)  # fmt: skip
        return
    if cancel:
        yield Claim("gauge", "the coefficients of a pair cancel", "", worst, judged(worst < CLOSE))
        return
    says = "the coefficients of a pair do not cancel"
    if worst < 1e-12:
        yield Claim("gauge", says, "at three policies they do", worst, Verdict.UNDECIDED)
    else:
        yield Claim("gauge", says, "", worst, Verdict.HOLDS)


def first_step(loss: Loss, toy: Toy) -> Iterator[Claim]:
    """Look at the coefficients where the policy is the reference."""
    if not loss.view.pair or not all(Logp(POLICY, y) in set(walk(loss.root)) for y in loss.view.responses):
        return
    expected = Expected(loss, toy, rows_of_data(loss, toy))
    w, l = (expected.coefficients(theta_of(toy.reference, toy), y) for y in loss.view.responses)
    right = bool(w.max() <= 0 and l.min() >= 0 and np.all(np.abs(w) + np.abs(l) > 0))
    found = f"∂ℓ/∂log π: chosen {w.min():.3g} to {w.max():.3g}, rejected {l.min():.3g} to {l.max():.3g}"
    says = (
        "raises the chosen response, lowers the rejected response" if right else "coefficients where π = ref"
    )
    yield Claim("first step", says, found, None, Verdict.HOLDS if right else Verdict.TOLD)

"""Check what the KL of a term descends, by its expected gradient on policies that can be enumerated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from alignc.claims.checkers.batches import within
from alignc.claims.checkers.policies import (
    coefficient,
    divergence_slope,
    group_size,
    lowered_of,
    multiple_of,
    spaces,
    surrogate_on,
    unwhitened,
    updates_of,
    without_reward,
)
from alignc.claims.kinds.descent import Descends, NoRest, Pull, RestsAtAnchor
from alignc.claims.model import Outcome, Subject, Verdict, When
from alignc.contract.models import ROLLOUT
from alignc.contract.responses import COMPLETIONS
from alignc.graph.evaluate import evaluate
from alignc.lower.loss import TermLoss
from alignc.spec.kl import FULL
from alignc.spec.objective import KLTerm, PolicyGradient
from alignc.theory.kinds import Kind
from alignc.verify.objectives import TOY
from alignc.verify.response_space import Policy, ResponseSpace
from alignc.verify.toy import Array, Expected, Row, Toy, log_softmax

__all__ = ["check_anchor", "check_descends", "check_no_rest", "check_pull"]

EXACT = 1e-7
ROUNDING = 1e-14
"""Nats of a log-ratio that are lost where two log-probabilities are subtracted."""


def check_descends(claim: Descends, subject: Subject) -> Verdict:
    """Compare the expected gradient of the KL with that of the divergence."""
    worst, least = 0.0, np.inf
    for found, wanted in _gradients(claim, subject):
        if claim.kind is Kind.NULL:
            worst = max(worst, float(np.abs(found).max()))
            continue
        factor, left = multiple_of(found, wanted)
        worst, least = max(worst, left), min(least, factor)
    if least <= 0:
        return Verdict(Outcome.REFUTED, f"the factor is {least:.3g}", worst)
    return within(worst, _limit(claim.clamp), "expected gradients on enumerated policies")


def _limit(clamp: float | None) -> float:
    """Return the largest gap: so near to the reference that a small clamp is not met, u is a difference of 0.1 nat."""
    return EXACT if not clamp else max(EXACT, min(1e-3, ROUNDING / clamp))


def _gradients(claim: Descends, subject: Subject) -> Iterator[tuple[Array, Array]]:
    """Compute the gradient that is found, and the one that is stated, at several policies."""
    if claim.placement != "both" and not subject.loss.view.group:
        yield from _on_rows(claim, subject)
        return
    size = group_size(subject)
    off = claim.when is When.ALWAYS and updates_of(subject) != 1
    for space in spaces(claim.lengths, subject):
        base = space.reference
        for i, policy in enumerate(_drawn(space, claim)):
            old = space.drawn(3)[2] if off and i else policy
            anchor = old if _anchored_at_old(claim, subject) else base
            yield _found(claim, subject, space, size, policy, old), _stated(claim, policy, anchor)


def _anchored_at_old(claim: Descends, subject: Subject) -> bool:
    """Return whether the anchor is the policy that sampled."""
    term = next((t for t in subject.spec.job.objective.terms if t.name == claim.term), None)
    return isinstance(term, KLTerm) and term.anchor == ROLLOUT


def _drawn(space: ResponseSpace, claim: Descends) -> list[Policy]:
    """Draw policies; with a clamp, so near to the reference that no |u| meets it."""
    found = space.drawn(2)
    if claim.clamp is None:
        return found
    base = space.reference
    widest = max(max(abs(u) for u in p.ratios(base)) for p in found)
    near = min(1.0, 0.2 * claim.clamp / widest)
    return [space.policy(base.logits + near * (p.logits - base.logits)) for p in found]


def _stated(claim: Descends, policy: Policy, base: Policy) -> Array:
    own = None if claim.estimator == FULL.name else coefficient(claim.estimator, claim.placement)
    if claim.kind is Kind.NULL:
        return np.zeros(policy.space.size)
    return divergence_slope(claim.kind, claim.counted, policy, base, own)


def _found(
    claim: Descends, subject: Subject, space: ResponseSpace, size: int, policy: Policy, old: Policy
) -> Array:
    """Compute the expected gradient of the KL alone: in the reward, it is what is left where all rewards are 0."""
    zero = (0.0,) * len(space.sentences)
    total = np.zeros(space.size)
    for lowered in _parts(claim, subject):
        weight = float(evaluate(lowered.weight, {})) if claim.placement == "both" else 1.0
        total += weight * surrogate_on(lowered, space, size, zero).gradient(policy, old)
    return total


def _parts(claim: Descends, subject: Subject) -> list[TermLoss]:
    if claim.placement != "both":
        lowered = lowered_of(subject, claim.term)
        in_loss = claim.placement != "reward" and lowered.kind == "policy_gradient"
        return [without_reward(lowered) if in_loss else unwhitened(lowered, many=claim.many)]
    return [
        lowered
        for lowered, term in zip(subject.loss.terms, subject.spec.job.objective.terms, strict=True)
        if isinstance(term, KLTerm) or (isinstance(term, PolicyGradient) and term.kl is not None)
    ]


# ---- rows that are no groups ------------------------------------------------------------------------------------


def _term_of(claim: Descends | RestsAtAnchor, subject: Subject) -> KLTerm:
    found = next(t for t in subject.spec.job.objective.terms if t.name == claim.term)
    assert isinstance(found, KLTerm)
    return found


def _expected(name: str, subject: Subject, law: Array, toy: Toy = TOY) -> Expected:
    """Take the expectation of a term over one response, which stands in every part of a row."""
    rows = [
        Row(float(p), {y: (i, i) if y == COMPLETIONS else i for y in subject.needs.responses}, {})
        for i, p in enumerate(np.exp(law))
    ]
    return Expected(subject.loss, toy, rows, lowered_of(subject, name).value)


def _on_rows(claim: Descends, subject: Subject) -> Iterator[tuple[Array, Array]]:
    term, toy = _term_of(claim, subject), TOY
    base = toy.sampler if term.anchor == ROLLOUT else toy.reference
    weighted = term.correction != "none"
    for seed in range(2):
        logits = log_softmax(np.random.default_rng(seed).normal(0, 0.7, toy.size))
        if claim.clamp is not None:
            near = min(1.0, 0.2 * claim.clamp / float(np.abs(logits - base).max()))
            logits = log_softmax(base + near * (logits - base))
        sampled = replace(toy, sampler=toy.sampler if weighted and base is not toy.sampler else logits)
        if term.anchor == ROLLOUT:
            sampled = toy
        law = sampled.sampler if weighted else logits
        expected = _expected(claim.term, subject, law, sampled)
        found = expected.gradient(np.concatenate([logits, np.zeros(toy.size + 1)]))[: toy.size]
        yield found, _slope_of(claim, logits, base)


def _slope_of(claim: Descends, logits: Array, base: Array) -> Array:
    """Differentiate a divergence of one action, by f′(w) = g(log w)."""
    policy, u = np.exp(logits), logits - base
    named = {Kind.KL: u, Kind.REVERSE: -np.exp(-u), Kind.VARIATION: np.sign(u)}
    own = coefficient(claim.estimator, claim.placement)
    g = named.get(claim.kind)
    g = np.array([own(float(x)) for x in u]) if g is None else g
    found: Array = policy * (g - policy @ g)
    return found


def check_anchor(claim: RestsAtAnchor, subject: Subject) -> Verdict:
    """Look at the gradient at the anchor on given responses; a kink has its two sides averaged."""
    term, toy = _term_of(claim, subject), TOY
    base = toy.sampler if term.anchor == ROLLOUT else toy.reference
    expected = _expected(claim.term, subject, toy.sampler)
    steps = [side * 1e-8 * np.arange(toy.size) for side in (1, -1)]
    found = [expected.gradient(np.concatenate([base + s, np.zeros(toy.size + 1)])) for s in steps]
    gap = float(np.abs(np.mean(found, axis=0)).max())
    return Verdict(
        Outcome.HOLDS if (gap < 1e-6) is claim.rests else Outcome.REFUTED, "gradient at the anchor", gap
    )


# ---- the coefficient --------------------------------------------------------------------------------------------


def check_pull(claim: Pull, subject: Subject) -> Verdict:
    """Compare the formula of g with differences of κ."""
    own, worst = coefficient(claim.estimator, claim.placement), 0.0
    for u in (-2.3, -0.7, -0.1, 0.2, 0.9, 1.7):
        stated = float(evaluate(claim.g, {claim.u: u}))
        worst = max(worst, abs(stated - own(u)) / (1 + abs(stated)))
    return within(worst, 1e-6, "differences of κ")


def check_no_rest(claim: NoRest, subject: Subject) -> Verdict:
    """Look for a direction in which a small step from the reference is not pulled back."""
    terms = {t.name: t for t in subject.spec.job.objective.terms}
    term = terms[claim.term]
    kl = term if isinstance(term, KLTerm) else getattr(term, "kl", None)
    place = getattr(kl, "placement", None) or (
        "ratio" if getattr(kl, "correction", "") == "ratio" else "loss"
    )
    own = coefficient(str(getattr(kl, "gradient", None) or getattr(kl, "estimator", "")), place)
    base = log_softmax(np.array([0.4, -0.3, 0.1, -0.6]))
    pulls = []
    for seed in range(6):
        for side in (1e-3, -1e-3):
            direction = np.random.default_rng(seed).normal(size=4)
            logits = log_softmax(base + side * direction)
            policy, u = np.exp(logits), logits - base
            g = np.array([own(float(x)) for x in u])
            force, kept = policy * (g - policy @ g), policy * (u - policy @ u)
            pulls.append(float(force @ direction) / float(kept @ direction))
    weakest = min(pulls)
    outcome = Outcome.HOLDS if weakest < 0.05 else Outcome.REFUTED
    return Verdict(outcome, f"the weakest pull is {weakest:.3g} of that of the KL")

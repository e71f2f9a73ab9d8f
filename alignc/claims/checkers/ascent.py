"""Check what a policy gradient ascends and where it rests, over every group of responses that can be sampled."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from alignc.claims.checkers.batches import within
from alignc.claims.checkers.policies import (
    SMALL,
    coefficient,
    divergence_slope,
    group_size,
    lowered_of,
    spaces,
    surrogate_on,
    unwhitened,
)
from alignc.claims.kinds.descent import (
    Ascends,
    Form,
    LaterAscends,
    LaterDiffers,
    Lengths,
    RestsAt,
)
from alignc.claims.model import Outcome, Subject, Verdict
from alignc.spec.kl import FULL
from alignc.spec.objective import PolicyGradient
from alignc.verify.response_space import Policy, ResponseSpace
from alignc.verify.solve import Field, stable
from alignc.verify.surrogate import Surrogate, win_rates_of
from alignc.verify.toy import Array

__all__ = ["check_ascends", "check_later", "check_later_differs", "check_rests"]

EXACT = 1e-7


def _term(name: str, subject: Subject) -> PolicyGradient:
    found = next(t for t in subject.spec.job.objective.terms if t.name == name)
    assert isinstance(found, PolicyGradient)
    return found


def _size(claim: Ascends | RestsAt, subject: Subject) -> int:
    """Return the number of responses that are enumerated; a mean that includes a response needs two."""
    several = 2 if _term(claim.term, subject).whiten else 1
    return min(SMALL, claim.among) if claim.among else group_size(subject, at_least=several)


def _shrinks(among: int, beta: float, factor: float, size: int, *, in_loss: bool) -> float:
    """Carry the strength of a KL in the loss from the spec's number of responses to the number enumerated."""
    if not among or not in_loss:
        return beta
    return beta * (among - 1) / among * size / (size - 1)


def _own(kl: object) -> Callable[[float], float] | None:
    name = str(getattr(kl, "estimator", FULL.name))
    return None if name == FULL.name else coefficient(name, str(getattr(kl, "placement", "")))


def fitted(found: Array, basis: list[Array]) -> tuple[Array, float]:
    """Write a gradient as a sum of others: the factors, and what is left in the size of the gradient."""
    columns = np.array(basis).T
    factors, *_ = np.linalg.lstsq(columns, found, rcond=None)
    left = float(np.linalg.norm(columns @ factors - found)) / max(1e-300, float(np.linalg.norm(found)))
    return np.asarray(factors, dtype=np.float64), left


def check_ascends(claim: Ascends, subject: Subject) -> Verdict:
    """Write the expected gradient at own samples as ∇E[R] less a strength times the divergence's gradient."""
    term, lowered = _term(claim.term, subject), unwhitened(lowered_of(subject, claim.term), many=claim.many)
    size, worst = _size(claim, subject), 0.0
    in_loss = term.kl is not None and term.kl.placement != "reward"
    beta = _shrinks(claim.among, claim.beta, claim.factor, size, in_loss=in_loss)
    for space in spaces(claim.lengths, subject):
        surrogate = surrogate_on(lowered, space, size)
        for policy in space.drawn(2):
            worth = list(space.rewards) if claim.worth == "reward" else win_rates_of(policy, space.rewards)
            basis = [policy.slope(worth)]
            if claim.kind is not None:
                basis.append(
                    -divergence_slope(claim.kind, claim.counted, policy, space.reference, _own(term.kl))
                )
            basis = [v for v in basis if np.abs(v).max() > 1e-12]
            parts, left = fitted(-surrogate.gradient(policy, policy), basis)
            if parts[0] <= 0:
                return Verdict(Outcome.REFUTED, f"the factor of the reward is {parts[0]:.3g}", left)
            apart = abs(float(parts[1] / parts[0]) - beta) / (1 + beta) if len(parts) > 1 else 0.0
            worst = max(worst, left, apart)
    return within(worst, EXACT, f"expected gradients with {size} responses per prompt")


def _moved(space: ResponseSpace, far: float = 0.3) -> tuple[Policy, Policy]:
    old, second = space.drawn(2)
    return space.policy(old.logits + far * second.logits), old


def check_later(claim: LaterAscends, subject: Subject) -> Verdict:
    """Fit the gradient away from the sampler to that of the reward and of the two divergences."""
    term, lowered, worst = _term(claim.term, subject), lowered_of(subject, claim.term), 0.0
    size = group_size(subject, at_least=1)
    for space in spaces(Lengths.ANY, subject):
        policy, old = _moved(space)
        basis = [policy.slope(list(space.rewards))]
        if claim.beta:
            basis += [-policy.divergence(space.reference), policy.divergence(old)]
        parts, left = fitted(-surrogate_on(lowered, space, size).gradient(policy, old), basis)
        gap = max((abs(float(p / parts[0]) - claim.beta) for p in parts[1:]), default=0.0)
        worst = max(worst, left, gap / (1 + claim.beta))
    held = term.kl is not None and term.kl.beta > 0
    if held != bool(claim.beta):
        return Verdict(Outcome.REFUTED, "the strength of the KL is another")
    return within(worst, EXACT, "expected gradients away from the rollout policy")


def check_later_differs(claim: LaterDiffers, subject: Subject) -> Verdict:
    """Compare the gradient away from the sampler with that on fresh samples."""
    lowered, most = lowered_of(subject, claim.term), 0.0
    term = _term(claim.term, subject)
    size = group_size(subject, at_least=2 if term.whiten else 1)
    for space in spaces(Lengths.ANY, subject):
        policy, old = _moved(space)
        surrogate = surrogate_on(lowered, space, size)
        fresh, stale = surrogate.gradient(policy, policy), surrogate.gradient(policy, old)
        most = max(most, float(np.abs(fresh - stale).max()) / max(1e-300, float(np.abs(fresh).max())))
    return Verdict(Outcome.HOLDS if most > 1e-6 else Outcome.REFUTED, "difference to fresh samples", most)


# ---- where ascent rests -----------------------------------------------------------------------------------------


def _on_own_samples(surrogate: Surrogate, space: ResponseSpace) -> Callable[[Array], Array]:
    """Make the expected gradient on the policy's own samples a function of its logits."""

    def gradient(logits: Array) -> Array:
        at = space.policy(logits)
        return surrogate.gradient(at, at)

    return gradient


def check_rests(claim: RestsAt, subject: Subject) -> Verdict:
    """Choose a policy, pay what makes it the stated optimum, and look at the gradient there."""
    lowered = unwhitened(lowered_of(subject, claim.term), many=claim.many)
    size, worst = _size(claim, subject), 0.0
    for space, policy, rewards in _optima(claim, subject, size):
        gradient = _on_own_samples(surrogate_on(lowered, space, size, rewards), space)
        scale = float(np.abs(gradient(space.reference.logits)).max())
        worst = max(worst, float(np.abs(gradient(policy.logits)).max()) / scale)
        if (
            space.longest == 1
            and claim.form is not Form.EQUATION
            and not stable(Field(gradient, space.size), policy.logits)
        ):
            return Verdict(Outcome.REFUTED, "the gradient does not lead back to it", worst)
    return within(worst, EXACT, "the expected gradient at the stated policy")


def _optima(
    claim: RestsAt, subject: Subject, size: int
) -> Iterator[tuple[ResponseSpace, Policy, tuple[float, ...]]]:
    term = _term(claim.term, subject)
    kl = term.kl
    assert kl is not None
    scale = _shrinks(claim.among, claim.beta, claim.factor, size, in_loss=kl.placement != "reward")
    for space in spaces(claim.lengths, subject):
        policy = space.drawn(1)[0]
        u = policy.ratios(space.reference)
        match claim.form:
            case Form.GIBBS:
                rewards = [scale * x for x in u]
            case Form.HYPERBOLIC:
                rewards = [-scale * float(np.exp(-x)) for x in u]
            case Form.EQUATION:
                own = coefficient(kl.estimator, kl.placement)
                rewards = [scale * own(x) for x in u]
        yield space, policy, tuple(float(r) for r in rewards)

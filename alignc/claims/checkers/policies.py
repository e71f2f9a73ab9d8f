"""Small policies that can be enumerated, and what is compared on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from alignc.claims.kinds.descent import Counted, Lengths
from alignc.claims.model import Subject
from alignc.graph import build as b
from alignc.graph.build import constant
from alignc.graph.evaluate import evaluate
from alignc.graph.nodes import Named, NamedRole, Node
from alignc.graph.rewrite import substitute
from alignc.graph.walk import walk
from alignc.lower.estimators import kappa
from alignc.lower.loss import TermLoss
from alignc.theory.kinds import Kind
from alignc.verify.response_space import Policy, ResponseSpace
from alignc.verify.surrogate import Groups, Surrogate
from alignc.verify.toy import Array

__all__ = [
    "SMALL",
    "coefficient",
    "divergence_slope",
    "group_size",
    "lowered_of",
    "multiple_of",
    "spaces",
    "unwhitened",
    "updates_of",
    "without_reward",
]

ONE = ResponseSpace("one token", 4, 1, False, 31)
EQUAL = ResponseSpace("two tokens", 2, 2, False, 41)
ANY = ResponseSpace("one or two tokens", 3, 2, True, 51)
SMALL = 3
"""Responses of a group that is enumerated, at most."""
NAMED: dict[Kind, Callable[[float], float]] = {
    Kind.KL: lambda u: u,
    Kind.REVERSE: lambda u: -float(np.exp(-u)),
    Kind.VARIATION: lambda u: float(np.sign(u)),
}


def spaces(lengths: Lengths, subject: Subject) -> list[ResponseSpace]:
    """List the responses that a claim is tested on: those of its lengths, as far as the spec lets them be sampled."""
    found = {Lengths.ONE: [ONE], Lengths.EQUAL: [ONE, EQUAL], Lengths.ANY: [ONE, EQUAL, ANY]}[lengths]
    longest = getattr(subject.spec.job.data, "max_new_tokens", 2)
    return [space for space in found if space.longest <= longest]


def group_size(subject: Subject, *, at_least: int = 1) -> int:
    """Return the number of responses of the groups that are enumerated."""
    asked = int(getattr(subject.spec.job.data, "completions_per_prompt", SMALL))
    return max(at_least, min(SMALL, asked))


def updates_of(subject: Subject) -> int:
    """Count the updates of a rollout; 0 for any number."""
    train = (subject.spec.whole or subject.spec).job.train
    sampled = subject.spec.job.data.kind == "prompts"
    return train.rollout_epochs * train.rollout_minibatches if sampled else 0


def lowered_of(subject: Subject, name: str) -> TermLoss:
    """Find a lowered term by its name."""
    return next(t for t in subject.loss.terms if t.name == name)


def unwhitened(lowered: TermLoss, *, many: bool) -> TermLoss:
    """Leave the whitening out, which is one factor and one constant in the limit of `many` responses."""
    if not many or lowered.advantage is None:
        return lowered
    return replace(lowered, advantage=replace(lowered.advantage, whiten=False))


def without_reward(lowered: TermLoss) -> TermLoss:
    """Put 0 in the place of the advantage, so that the KL in the loss is left."""
    zeros: dict[Node, Node] = {
        n: b.in_unit(b.multiply(constant(0.0), n), n.type.unit)
        for n in walk(lowered.value)
        if isinstance(n, Named) and n.role is NamedRole.ADVANTAGE
    }
    return replace(lowered, value=substitute(lowered.value, zeros), advantage=None, penalty=None)


def surrogate_on(
    lowered: TermLoss, space: ResponseSpace, size: int, rewards: tuple[float, ...] | None = None
) -> Surrogate:
    """Make a compiled loss on the groups of a space."""
    return Surrogate(lowered, Groups(space, size), rewards=rewards)


# ---- divergences ------------------------------------------------------------------------------------------------


def coefficient(estimator: str, placement: str) -> Callable[[float], float]:
    """Give g by numbers: κ in the reward, κ′ in the loss, κ + κ′ under a differentiated ratio."""

    def value(x: float) -> float:
        return float(evaluate(kappa(estimator, constant(x)), {}))

    def slope(x: float, h: float = 1e-4) -> float:
        outer, inner = value(x + 2 * h) - value(x - 2 * h), value(x + h) - value(x - h)
        return (8 * inner - outer) / (12 * h)

    def both(x: float) -> float:
        return value(x) + slope(x)

    return {"reward": value, "loss": slope}.get(placement, both)


def divergence_slope(
    kind: Kind, counted: Counted, policy: Policy, base: Policy, own: Callable[[float], float] | None
) -> Array:
    """Differentiate a divergence: a named one by its own formula, any other by its coefficient `own`."""
    if counted is Counted.LATER:
        return policy.divergence(base) - policy.steps(NAMED[Kind.KL], base)
    g = NAMED.get(kind, own)
    assert g is not None
    match counted:
        case Counted.WHOLE:
            return policy.slope([g(u) for u in policy.ratios(base)])
        case Counted.STEPWISE:
            return policy.steps(g, base)
        case _:
            assert own is not None
            pairs = zip(policy.tokens, base.tokens, strict=True)
            return policy.slope([sum(own(l - r) for l, r in zip(*p, strict=True)) for p in pairs])


def multiple_of(found: Array, wanted: Array) -> tuple[float, float]:
    """Write a gradient as a multiple of another: the factor, and what is left relative to its size."""
    size = float(np.linalg.norm(wanted))
    if size < 1e-14:
        return 1.0, float(np.linalg.norm(found))
    factor = float(found @ wanted) / size**2
    return factor, float(np.linalg.norm(found - factor * wanted)) / max(1e-300, float(np.linalg.norm(found)))


def drawn(space: ResponseSpace, count: int = 2, spread: float = 0.7) -> Iterator[Policy]:
    """Draw policies."""
    yield from space.drawn(count, spread)

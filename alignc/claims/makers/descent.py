"""Claims about the divergence that the KL of a term descends, by its place and its samples."""

from __future__ import annotations

from collections.abc import Iterator

from alignc.claims.kinds.descent import Counted, Descends, Lengths, Pull, RestsAtAnchor, Undecided
from alignc.claims.makers.regularised import (
    MOVING,
    Setting,
    counted_of,
    own_samples,
    settings,
    updates,
    when_own,
)
from alignc.claims.model import Claim, Section, Subject, When
from alignc.contract.models import INITIAL, POLICY
from alignc.contract.outputs import Quantity
from alignc.contract.responses import COMPLETION
from alignc.graph import build as b
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Output
from alignc.graph.rewrite import substitute
from alignc.lower.estimators import kappa
from alignc.spec.kl import FULL
from alignc.spec.objective import KLTerm
from alignc.theory.divergence import meaning
from alignc.theory.kinds import Placement
from alignc.theory.soundness import kl_codes, placed, whole_by_both

__all__ = ["descents", "pull"]


def descents(subject: Subject) -> Iterator[Claim]:
    """Say what each KL of a spec descends, and its coefficient on ∇log π."""
    terms = subject.spec.job.objective.terms
    both = whole_by_both(terms) and not own_samples(subject)
    if both:
        yield _both(subject)
    for setting in settings(subject):
        if setting.kl is not None and not (both and setting.kl.estimator == FULL.name):
            yield from _block(setting)
    for term in terms:
        if isinstance(term, KLTerm) and not (both and term.estimator == FULL.name):
            yield from _term(term, subject)


def _both(subject: Subject) -> Descends:
    """Describe `full` in the reward and, with equal strength, in the loss: both together are the whole gradient."""
    found = meaning(FULL.name, "loss")
    several = getattr(subject.spec.job.data, "max_new_tokens", 2) > 1
    when = when_own(subject)
    return Descends(
        "",
        FULL.name,
        "both",
        found.kind,
        found.divergence,
        Counted.WHOLE,
        when,
        Lengths.ANY if several else Lengths.ONE,
    )


# ---- the kl block of a policy gradient --------------------------------------------------------------------------


def _block(setting: Setting) -> Iterator[Claim]:
    term, kl, subject = setting.term, setting.kl, setting.subject
    assert kl is not None
    found = meaning(kl.estimator, kl.placement)
    in_reward = kl.placement == "reward"
    reasons = tuple(setting.scaled()) if in_reward else tuple(filter(None, (own_samples(subject),)))
    if reasons:
        yield Undecided(
            f"{term.name}: what {kl.estimator} in the {kl.placement} descends", reasons, Section.KL
        )
    else:
        counted = counted_of(found, kl.estimator, kl.placement, kl.granularity, several=setting.several)
        lengths = setting.kl_lengths
        always = kl.placement == "ratio" and kl.granularity == "sequence" and kl.estimator != FULL.name
        when = When.ALWAYS if always else when_own(subject)
        moving = MOVING.get(kl.anchor, "")
        many = in_reward and term.whiten
        about = (term.name, kl.estimator, kl.placement, found.kind, found.divergence)
        yield Descends(*about, counted, when, lengths, None, moving, many, in_reward and setting.critic)
    if kl.estimator != FULL.name:
        yield pull(term.name, kl.estimator, kl.placement)


def pull(term: str, estimator: str, placement: Placement) -> Pull:
    """Derive the coefficient g(u) on ∇log π: κ in the reward, κ′ in the loss, κ + κ′ under a differentiated ratio."""
    leaf = Output(Quantity.SCORE, POLICY, COMPLETION)
    value = kappa(estimator, leaf)
    slope = gradient(value, leaf)
    g = {"reward": value, "loss": slope, "ratio": b.add(value, slope)}[placement]
    u = b.name("u", "u", "log-ratio", leaf)
    return Pull(term, estimator, placement, leaf, substitute(g, {leaf: u}))


# ---- a kl term --------------------------------------------------------------------------------------------------


def _term(term: KLTerm, subject: Subject) -> Iterator[Claim]:
    estimator, place, sampling = placed(term, subject.spec.job.data.kind)
    found = meaning(estimator, place)
    why = own_samples(subject)
    given = why if sampling == "policy" else ""
    if sampling == "given":
        pushes = "E202" in kl_codes(estimator, "loss", term.granularity, "given")
        yield RestsAtAnchor(term.name, estimator, not pushes)
    if given:
        yield Undecided(f"{term.name}: what {estimator} descends", (given,), Section.KL)
    else:
        several = getattr(subject.spec.job.data, "max_new_tokens", 2) > 1
        counted = counted_of(found, estimator, place, term.granularity, several=several)
        when = _when(term, sampling, subject)
        anchor = term.anchor if isinstance(term.anchor, str) else INITIAL
        yield Descends(
            term.name, estimator, place, found.kind, found.divergence, counted, when, Lengths.ANY, term.clamp,
            MOVING.get(anchor, ""),
        )  # fmt: skip
    if estimator != FULL.name:
        yield pull(term.name, estimator, place)


def _when(term: KLTerm, sampling: str, subject: Subject) -> When:
    """Say at which updates a term is what its estimator means on samples of the policy."""
    if sampling == "weighted" and term.granularity == "sequence" and term.estimator != FULL.name:
        return When.ALWAYS
    if sampling == "policy":
        return when_own(subject)
    return When.OWN if updates(subject) == 0 and sampling != "weighted" else When.FIRST

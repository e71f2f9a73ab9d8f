"""Claims about what a policy gradient ascends: at the first update of a rollout, at later ones, and where it rests."""

from __future__ import annotations

from collections.abc import Iterator

from alignc.claims.kinds.descent import (
    Ascends,
    Counted,
    Form,
    LaterAscends,
    LaterDiffers,
    Lengths,
    NoRest,
    RestsAt,
    Undecided,
)
from alignc.claims.makers.regularised import MOVING, Setting, counted_of, settings, updates, when_own
from alignc.claims.model import Claim, Section, Subject
from alignc.lower.policy import sequential
from alignc.lower.surrogates import SURROGATES
from alignc.spec.aggregations import AGGREGATIONS, Divides
from alignc.spec.objective import KLTerm
from alignc.theory.divergence import meaning
from alignc.theory.kinds import Kind
from alignc.theory.soundness import placed

__all__ = ["ascents", "rests"]


def ascents(subject: Subject) -> Iterator[Claim]:
    """Say what the updates of a rollout ascend."""
    for setting in settings(subject):
        reasons = tuple(setting.scaled())
        if reasons:
            what = f"{setting.term.name}: which objective the first update of a rollout ascends"
            yield Undecided(what, reasons, Section.ROLLOUT)
        else:
            yield _first(setting)
        if updates(subject) != 1:
            yield _later(setting, exact=not reasons)


def _strength(setting: Setting) -> tuple[float, float]:
    """Give the strength of the KL relative to the reward, and its ratio to the β of the spec."""
    kl, k = setting.kl, setting.among
    if kl is None:
        return 0.0, 1.0
    scale = meaning(kl.estimator, kl.placement).scale
    shrunk = scale * (k / (k - 1) if k > 1 and kl.placement != "reward" else 1.0)
    return kl.beta * shrunk, shrunk


def _first(setting: Setting) -> Ascends:
    term, kl = setting.term, setting.kl
    beta, factor = _strength(setting)
    when, critic, among = when_own(setting.subject), setting.critic, setting.among
    lengths = setting.lengths
    if kl is None:
        nothing = (None, "", Counted.WHOLE, when, lengths, critic, among, term.whiten)
        return Ascends(term.name, term.reward, 0.0, 1.0, *nothing)
    found = meaning(kl.estimator, kl.placement)
    absent = found.kind is Kind.NULL or (found.kind is Kind.PARTIAL and not setting.several)
    counted = counted_of(found, kl.estimator, kl.placement, kl.granularity, several=setting.several)
    kind, divergence = (None, "") if absent else (found.kind, found.divergence)
    shown = (counted, when, lengths, critic, among, term.whiten)
    return Ascends(term.name, term.reward, 0.0 if absent else beta, factor, kind, divergence, *shown)


def _later(setting: Setting, *, exact: bool) -> Claim:
    term, row = setting.term, SURROGATES[setting.term.surrogate.kind]
    if exact and not term.whiten and _exact(setting):
        return LaterAscends(term.name, setting.kl.beta if setting.kl else 0.0)
    by_token = row.reads_ratio and term.ratio == "token" and setting.several
    return LaterDiffers(term.name, row.reads_ratio, row.bounded, by_token)


def _exact(setting: Setting) -> bool:
    """Tell whether an unbounded ratio of the whole response makes later updates exact."""
    term, kl = setting.term, setting.kl
    row, one = SURROGATES[term.surrogate.kind], not setting.several
    if not row.through_ratio or row.bounded or not (term.ratio == "sequence" or one):
        return False
    held = kl is None or (kl.placement == "reward" and meaning(kl.estimator, "reward").kind is Kind.KL)
    divides = AGGREGATIONS[term.aggregation].divides
    plain = (not sequential(term) or one) and divides in (
        Divides.NOTHING,
        Divides.OWN_TOKENS,
        Divides.LONGEST,
    )
    return held and plain and term.reward == "reward" and setting.lengths is Lengths.ANY


# ---- where ascent rests -----------------------------------------------------------------------------------------

FORMS = {Kind.KL: Form.GIBBS, Kind.REVERSE: Form.HYPERBOLIC}
FLEES = (Kind.SADDLE, Kind.KINK, Kind.COLLAPSE)


def rests(subject: Subject) -> Iterator[Claim]:
    """Say where ascent on the policy's own samples rests, if the KL alone holds it."""
    for setting in settings(subject):
        if setting.kl is not None:
            yield _rest(setting)
    held = {s.term.name for s in settings(subject) if s.kl is not None}
    for term in subject.spec.job.objective.terms:
        if isinstance(term, KLTerm) and not held:
            estimator, place, _ = placed(term, subject.spec.job.data.kind)
            others = [t.name for t in subject.spec.job.objective.terms if t.name != term.name]
            found = meaning(estimator, place)
            if found.kind in (*FLEES, Kind.NULL):
                yield NoRest(term.name, found.kind)
            elif others:
                known = f"the KL stands beside {', '.join(f'`{n}`' for n in others)}"
                yield Undecided(f"{term.name}: the optimum of the whole loss", (known,), Section.OPTIMUM)


def _rest(setting: Setting) -> Claim:
    term, kl = setting.term, setting.kl
    assert kl is not None
    found = meaning(kl.estimator, kl.placement)
    if found.kind in FLEES or found.kind is Kind.NULL:
        return NoRest(term.name, found.kind)
    known = [*setting.beside(), *setting.scaled()]
    if term.reward != "reward":
        known.append("win rates move with the policy")
    if found.kind in (Kind.PARTIAL, Kind.VARIATION):
        known.append(f"{found.divergence} has no closed form of the optimum here")
    counted = counted_of(found, kl.estimator, kl.placement, kl.granularity, several=setting.several)
    if known:
        return Undecided(f"{term.name}: the optimum", tuple(known), Section.OPTIMUM)
    beta, factor = _strength(setting)
    lengths = setting.lengths if counted is Counted.WHOLE else Lengths.ONE
    form = FORMS.get(found.kind, Form.EQUATION)
    return RestsAt(
        term.name, form, beta, factor, lengths, setting.critic, setting.among, MOVING.get(kl.anchor, ""),
        kl.adaptive is not None,
        term.whiten,
    )  # fmt: skip

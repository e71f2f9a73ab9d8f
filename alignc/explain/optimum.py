"""The optimum of a loss: the divergence that a KL term descends, and whether a preference has an optimum."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from alignc.checks.estimators import SAID
from alignc.contract.baselines import LOG_PARTITION
from alignc.contract.models import INITIAL, MODELS
from alignc.load.load import Loaded
from alignc.lower.links import LINKS, endless
from alignc.spec.kl import FULL, KLPlacement
from alignc.spec.objective import KLTerm, Pointwise, PolicyGradient, Preference, Term
from alignc.spec.scores import SCALAR_HEAD
from alignc.spec.targets import WinRateTarget
from alignc.theory.divergence import meaning
from alignc.theory.kinds import Kind, Meaning
from alignc.theory.soundness import kl_codes, placed, whole_by_both

__all__ = ["kl_lines", "optimum_lines"]

PLACES = {"reward": "in the reward", "loss": "in the loss", "ratio": "under a differentiated ratio"}


def kl_lines(spec: Loaded) -> tuple[str, ...]:
    """Describe for each KL term the divergence that it descends, its pull to the reference, and its optimum."""
    terms = spec.job.objective.terms
    both = whole_by_both(terms)
    lines = list(_both()) if both else []
    for term in terms:
        if both and _estimator(term) == FULL.name:
            continue
        if isinstance(term, KLTerm):
            lines += _kl(term, spec.job.data.kind)
        elif isinstance(term, PolicyGradient) and term.kl is not None and term.kl.beta > 0:
            lines += _block(term.name, term.kl)
    return tuple(lines)


def _estimator(term: Term) -> str | None:
    kl = term if isinstance(term, KLTerm) else getattr(term, "kl", None)
    return None if kl is None else str(kl.estimator)


def _both() -> Iterator[str]:
    """Describe the estimator `full` in the reward and in the loss together."""
    yield "full in the reward and, with equal strength, in the loss: both together descend KL(π‖ref) of whole responses"
    yield from _ends(meaning(FULL.name, "loss"), INITIAL)


def _block(name: str, kl: KLPlacement) -> Iterator[str]:
    """Describe the divergence that the `kl:` block of a policy gradient descends."""
    found = meaning(kl.estimator, kl.placement)
    yield f"{name}: {kl.estimator} {PLACES[kl.placement]} descends {_not_kl(found)}"
    yield from _ends(found, kl.anchor)
    if "W209" in kl_codes(kl.estimator, kl.placement, kl.granularity, "policy"):
        yield "token by token: each token is pulled given its prefix, but is not charged for later prefixes"


def _kl(term: KLTerm, data: str) -> Iterator[str]:
    estimator, place, sampling = placed(term, data)
    found = meaning(estimator, place)
    if sampling == "given":
        yield _on_given_data(term, estimator)
        yield f"{term.name}: on samples of the policy, it would descend {_not_kl(found)}"
    else:
        yield f"{term.name}: {estimator} {PLACES[place]} descends {_not_kl(found)}"
    if sampling == "weighted":
        yield "ρ is the ratio to the policy that sampled the responses; for given data, this is the initial policy"
    yield from _ends(found, term.anchor if isinstance(term.anchor, str) else INITIAL)
    if "W209" in kl_codes(estimator, place, term.granularity, sampling):
        yield "token by token: each token is pulled given its prefix, but is not charged for later prefixes"


def _ends(found: Meaning, anchor: str) -> Iterator[str]:
    """Describe the pull to the reference and the optimum; the optimum of a moving anchor moves too."""
    pull = f"coefficient on ∇log π: g(u) = {found.g}{_monotone(found)}"
    if anchor not in MOVES or not found.by_ratio:
        yield f"{pull}; optimum {found.optimum}"
        return
    yield f"{pull}; optimum for the current ref: {found.optimum}"
    yield f"ref is {MOVES[anchor]}: ref and the optimum move with the policy, and there is no fixed optimum"


MOVES: Mapping[str, str] = {row.name: row.words for row in MODELS.values() if row.moving or row.sampled}


def _on_given_data(term: KLTerm, estimator: str) -> str:
    if "E202" in kl_codes(estimator, "loss", term.granularity, "given"):
        return f"{term.name}: {SAID['E202'].format(estimator=estimator)}"
    return (
        f"{term.name}: {estimator} on given data without weights rests at the anchor; elsewhere it has no ∇KL"
    )


def _not_kl(found: Meaning) -> str:
    """Name a divergence with its arguments, and add a remark if it is not the usual KL."""
    if found.kind in (Kind.REVERSE, Kind.VARIATION):
        return f"{found.divergence}, not KL(π‖ref)"
    return (
        f"{found.divergence} in expectation: the term is noise"
        if found.kind == Kind.NULL
        else found.divergence
    )


def _monotone(found: Meaning) -> str:
    if found.kind == Kind.UNDECIDED:
        return f"; it is undecided whether g never falls: {found.witness}"
    return f" ({found.witness})" if found.witness else ""


def optimum_lines(spec: Loaded) -> tuple[str, ...]:
    """Describe the optimum of a preference with an endless link, and of a regression on win rates."""
    lines = []
    for term in spec.job.objective.terms:
        if isinstance(term, Preference) and _endless(term) and term.score.of != SCALAR_HEAD:
            lines.append(
                f"{term.name}: the optimum is finite if labels are noisy; if one response of a pair always wins, the"
                " margin has no finite optimum: stop early, smooth the labels, or use `ipo`"
            )
        if (
            isinstance(term, Pointwise)
            and isinstance(term.target, WinRateTarget)
            and LINKS[term.link.kind].regression
        ):
            lines += _win_rates(term.name, term.target)
    return tuple(lines)


def _win_rates(name: str, target: WinRateTarget) -> Iterator[str]:
    """Describe the optimum of a regression on win rates for each replacement of the log-partition."""
    if target.baseline == LOG_PARTITION.name:
        yield f"{name}: π = anchor·exp(η·P)/Z, a step of multiplicative weights, up to the error in the estimate of Z"
        return
    b = "the mean win rate" if isinstance(target.baseline, str) else f"{target.baseline:g}"
    yield (
        f"{name}: u = t − W(κ·e^t) with t = η·(P − b) and b = {b}; W is Lambert's function, and κ makes π sum to 1;"
        " this is a step of multiplicative weights, π = anchor·exp(η·P)/Z, only if b = log(Z)/η"
    )


def _endless(term: Preference) -> bool:
    return endless(term.link) and not LINKS[term.link.kind].debiased

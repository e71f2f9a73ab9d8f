"""What a loss ends in: the divergence that a KL term really descends, and whether a preference has an optimum."""

from __future__ import annotations

from collections.abc import Iterator

from alignc.checks.kl import SAID
from alignc.load.load import Loaded
from alignc.spec.axes import ExponentialLink, LogisticLink
from alignc.spec.kl import KLPlacement
from alignc.spec.objective import KLTerm, Pointwise, PolicyGradient, Preference, Term
from alignc.spec.targets import WinRateTarget
from alignc.theory.divergence import Kind, Meaning, meaning
from alignc.theory.soundness import kl_codes, placed, whole_by_both

__all__ = ["kl_lines", "optimum_lines"]

PLACES = {"reward": "in the reward", "loss": "in the loss", "ratio": "under a differentiated ratio"}


def kl_lines(spec: Loaded) -> tuple[str, ...]:
    """Say of every `kl` term what it descends, whether that holds the policy, and which optimum follows."""
    terms = spec.job.objective.terms
    both = whole_by_both(terms)
    lines = list(_both()) if both else []
    for term in terms:
        if both and _estimator(term) == "full":
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
    """Say what the whole vocabulary in two places descends."""
    yield "full in the reward and, as strong, in the loss: together they descend KL(π‖ref) of whole responses"
    yield from _ends(meaning("full", "loss"), "initial")


def _block(name: str, kl: KLPlacement) -> Iterator[str]:
    """Say what a policy gradient's `kl:` block descends, on the policy's own responses."""
    found = meaning(kl.estimator, kl.placement)
    yield f"{name}: {kl.estimator} {PLACES[kl.placement]} descends {_not_kl(found)}"
    yield from _ends(found, kl.anchor)
    if "W209" in kl_codes(kl.estimator, kl.placement, kl.granularity, "policy"):
        yield "token by token: each token is pulled given its prefix, and answers for no prefix it leads to"


def _kl(term: KLTerm, data: str) -> Iterator[str]:
    estimator, place, sampling = placed(term, data)
    found = meaning(estimator, place)
    if sampling == "given":
        yield _on_given_data(term, estimator)
        yield f"{term.name}: on the policy's own samples it would descend {_not_kl(found)}"
    else:
        yield f"{term.name}: {estimator} {PLACES[place]} descends {_not_kl(found)}"
    if sampling == "weighted":
        yield "ρ is taken to the policy that sampled the responses; given data is taken to come from the start"
    yield from _ends(found, term.anchor if isinstance(term.anchor, str) else "initial")
    if "W209" in kl_codes(estimator, place, term.granularity, sampling):
        yield "token by token: each token is pulled given its prefix, and answers for no prefix it leads to"


def _ends(found: Meaning, anchor: str) -> Iterator[str]:
    """Say what the pull is and where it ends; an anchor that moves takes its optimum along."""
    pull = f"coefficient on ∇log π: g(u) = {found.g}{_monotone(found)}"
    if anchor not in MOVES or not found.optimum.startswith("w"):
        yield f"{pull}; optimum {found.optimum}"
        return
    yield f"{pull}; optimum to ref as it stands: {found.optimum}"
    yield f"ref is {MOVES[anchor]}: it moves with the policy, its optimum with it, and there is no fixed one"


MOVES = {
    "ema": "the moving average of the policy's weights",
    "previous_iterate": "the policy as it is when a rollout begins",
    "rollout": "the policy that sampled",
}


def _on_given_data(term: KLTerm, estimator: str) -> str:
    if "E202" in kl_codes(estimator, "loss", term.granularity, "given"):
        return f"{term.name}: {SAID['E202'].format(estimator=estimator)}"
    return f"{term.name}: {estimator} on given data, without weights, rests at the anchor; elsewhere it is no ∇KL"


def _not_kl(found: Meaning) -> str:
    """Name a divergence with its arguments; where it is not the usual one, say so."""
    if found.kind in (Kind.REVERSE, Kind.VARIATION):
        return f"{found.divergence}, not KL(π‖ref)"
    return f"{found.divergence} in expectation: it is noise" if found.kind == Kind.NULL else found.divergence


def _monotone(found: Meaning) -> str:
    if found.kind == Kind.UNDECIDED:
        return f"; whether it never falls is undecided: {found.witness}"
    return f" ({found.witness})" if found.witness else ""


def optimum_lines(spec: Loaded) -> tuple[str, ...]:
    """Say of a preference whose link never turns what follows where one response always wins (no W407: it may not)."""
    lines = []
    for term in spec.job.objective.terms:
        if isinstance(term, Preference) and _endless(term) and term.score.of != "scalar_head":
            lines.append(
                f"{term.name}: finite where labels are noisy; where one response of a pair always wins, the margin"
                " has no finite optimum: stop early, smooth the labels, or take `ipo`"
            )
        if (
            isinstance(term, Pointwise)
            and isinstance(term.target, WinRateTarget)
            and term.link.kind == "squared"
        ):
            lines += _win_rates(term.name, term.target)
    return tuple(lines)


def _win_rates(name: str, target: WinRateTarget) -> Iterator[str]:
    """Say what a regression on win rates ends in, by what stands for the log-partition."""
    if target.baseline == "log_partition":
        yield f"{name}: π = anchor·exp(η·P)/Z, a step of multiplicative weights, as far as the estimate of Z goes"
        return
    b = "the mean win rate" if isinstance(target.baseline, str) else f"{target.baseline:g}"
    yield (
        f"{name}: u = t − W(κ·e^t) with t = η·(P − b), b = {b}, W Lambert's function and κ such that π sums to 1;"
        " a step of multiplicative weights, π = anchor·exp(η·P)/Z, only where b = log(Z)/η"
    )


def _endless(term: Preference) -> bool:
    link = term.link
    smooth = isinstance(link, LogisticLink) and link.label_smoothing == 0
    return smooth or isinstance(link, ExponentialLink)

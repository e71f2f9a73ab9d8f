"""What a loss ends in: the divergence that a KL term really descends, and whether a preference has an optimum."""

from __future__ import annotations

from collections.abc import Iterator

from alignc.checks.kl import SAID
from alignc.graph.divergence import Kind, Meaning, meaning
from alignc.graph.soundness import kl_codes, placed
from alignc.spec.axes import ExponentialLink, LogisticLink
from alignc.spec.load import Loaded
from alignc.spec.objective import KLTerm, Preference

__all__ = ["kl_lines", "optimum_lines"]

PLACES = {"reward": "in the reward", "loss": "in the loss", "ratio": "under a differentiated ratio"}


def kl_lines(spec: Loaded) -> tuple[str, ...]:
    """Say of every `kl` term what it descends, whether that holds the policy, and which optimum follows."""
    terms = [t for t in spec.job.objective.terms if isinstance(t, KLTerm)]
    return tuple(line for term in terms for line in _kl(term))


def _kl(term: KLTerm) -> Iterator[str]:
    estimator, place, sampling = placed(term)
    found = meaning(estimator, place)
    if sampling == "given":
        yield _on_given_data(term, estimator)
        yield f"{term.name}: on the policy's own samples it would descend {_not_kl(found)}"
    else:
        yield f"{term.name}: {estimator} {PLACES[place]} descends {_not_kl(found)}"
        yield "ρ is taken to the policy that sampled the responses; given data is taken to come from the start"
    yield f"coefficient on ∇log π: g(u) = {found.g}{_monotone(found)}; optimum {found.optimum}"
    if "W209" in kl_codes(estimator, place, term.granularity, sampling):
        yield "token by token: each token is pulled given its prefix, and answers for no prefix it leads to"


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
    return tuple(lines)


def _endless(term: Preference) -> bool:
    link = term.link
    smooth = isinstance(link, LogisticLink) and link.label_smoothing == 0
    return smooth or isinstance(link, ExponentialLink)

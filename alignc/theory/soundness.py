"""The diagnostic codes of a KL estimator at its placement; checks reports them, and verify tests them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from alignc.contract.baselines import BASELINES
from alignc.contract.kinds import ONLINE
from alignc.graph.build import constant
from alignc.graph.evaluate import evaluate
from alignc.lower.estimators import kappa
from alignc.spec.aggregations import AGGREGATIONS, Divides
from alignc.spec.kl import FULL, KLPlacement
from alignc.spec.objective import KLTerm, PolicyGradient, Term
from alignc.theory.divergence import meaning
from alignc.theory.kinds import Kind, Meaning, Placement

__all__ = ["CODES", "Sampling", "kl_codes", "placed", "stepwise", "whole_by_both"]

Sampling = Literal["policy", "weighted", "given"]
"""Responses of the policy itself, of another policy with importance weights, or of another policy without weights."""

CODES: Mapping[Kind, str] = {
    Kind.NULL: "E201",
    Kind.SADDLE: "E203",
    Kind.COLLAPSE: "E204",
    Kind.KINK: "E205",
    Kind.REVERSE: "W206",
    Kind.VARIATION: "W207",
    Kind.NONCONVEX: "W208",
}


def kl_codes(estimator: str, placement: Placement, granularity: str, sampling: Sampling) -> tuple[str, ...]:
    """List the codes of an estimator at a placement. Raises FormulaError for a text that is not an estimator.

    A policy gradient's `kl:` block and a `kl` term both come here.
    """
    if sampling == "given" and placement == "reward":
        return ("E301",)
    if estimator == FULL.name:
        if placement == "ratio" and granularity == "sequence":
            return ()  # the ratio of the whole response brings what the loss alone misses
        return ("W211",) if placement == "reward" else ("W209", "W211")
    if sampling == "given" and placement == "loss":
        return _on_given_data(estimator)
    found = meaning(estimator, placement)
    codes = [CODES[found.kind]] if found.kind in CODES else []
    if granularity == "token" and stepwise(found, placement):
        codes.append("W209")
    return tuple(codes)


def stepwise(found: Meaning, placement: Placement) -> bool:
    """Return whether the sum over tokens differs from the estimate for the whole response.

    k1 in the reward, summed over what follows, is the chain rule of KL; every other one drops the effect of a
    token on the states that it leads to.
    """
    holds = found.sound or found.kind in (Kind.NONCONVEX, Kind.UNDECIDED)
    chain_rule = placement == "reward" and found.kind == Kind.KL
    return holds and not chain_rule


def _on_given_data(estimator: str) -> tuple[str, ...]:
    """List the codes for given data without weights: only the slope at the reference is known, and κ′(0) must be 0."""
    kind = meaning(estimator, "loss").kind
    if abs(_slope_at_reference(estimator)) > 1e-6:
        return ("E202",)
    if kind == Kind.NULL:
        return ("E201",)
    return ("E203",) if kind in (Kind.SADDLE, Kind.COLLAPSE, Kind.KINK) else ()


def _slope_at_reference(estimator: str) -> float:
    h = 1e-5
    above, below = (float(evaluate(kappa(estimator, constant(x)), {})) for x in (h, -h))
    return (above - below) / (2 * h)


def placed(term: KLTerm, data: str) -> tuple[str, Placement, Sampling]:
    """Return the estimator that gives the gradient of a term, its placement, and its sampling.

    `data` is the kind of rows: those of `prompts` and `self_play` are the policy's own.
    """
    unweighted: Sampling = "policy" if data in ONLINE else "given"
    place: Placement = "ratio" if term.correction == "ratio" else "loss"
    return term.gradient or term.estimator, place, unweighted if term.correction == "none" else "weighted"


def whole_by_both(terms: Sequence[Term]) -> bool:
    """Return whether `full` is in the reward and, with equal strength, in a `kl` term; both complete each other.

    Tokens of the policy gradient must count as those of the `kl` term do: summed, undiscounted, of one scale.
    """
    held = [t for t in terms if isinstance(t, PolicyGradient) and _is_full(t.kl)]
    pulls = [t for t in terms if isinstance(t, KLTerm) and t.estimator == FULL.name]
    if len(held) != 1 or len(pulls) != 1 or pulls[0].correction != "none":
        return False
    [term], [pull] = held, pulls
    assert term.kl is not None
    summed = AGGREGATIONS[term.aggregation].divides is Divides.NOTHING
    plain = summed and term.discount == 1 and not term.whiten
    plain = plain and BASELINES[term.baseline.kind].unbiased and term.kl.placement == "reward"
    return plain and term.weight * term.kl.beta == pull.weight


def _is_full(kl: KLPlacement | None) -> bool:
    return kl is not None and kl.estimator == FULL.name and kl.beta > 0

"""Does a KL estimator, where it stands, hold the policy to its reference, and by which divergence?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from alignc.checks.rule import Checked, term_path
from alignc.diagnostics import Diagnostic
from alignc.graph.build import constant
from alignc.graph.divergence import Kind, Meaning, Placement, meaning
from alignc.graph.evaluate import evaluate
from alignc.graph.kl import kappa
from alignc.spec.objective import KLTerm

__all__ = ["Sampling", "clamped", "kl_codes", "kl_soundness", "straight_through"]

Sampling = Literal["policy", "weighted", "given"]
"""Responses of the policy itself, of another policy under importance weights, or of another without any."""

CODES: Mapping[Kind, str] = {
    Kind.NULL: "E201",
    Kind.SADDLE: "E203",
    Kind.COLLAPSE: "E204",
    Kind.KINK: "E205",
    Kind.REVERSE: "W206",
    Kind.VARIATION: "W207",
    Kind.NONCONVEX: "W208",
}
SAID: Mapping[str, str] = {
    "E201": "`{estimator}` in the {place} has zero expected gradient: it is noise, not a regularizer",
    "E202": "`{estimator}` in the loss on given data pushes the policy away even where it is the reference",
    "E203": "`{estimator}` in the {place} does not pull back to the reference: it descends {divergence}",
    "E204": "`{estimator}` in the {place} rewards collapse: it descends {divergence}",
    "E205": "`{estimator}` in the {place} does not pull back to the reference: it descends {divergence}",
    "W206": "`{estimator}` in the {place} descends {divergence}, not KL(π‖ref)",
    "W207": "`{estimator}` in the {place} descends {divergence}, not KL(π‖ref)",
    "W208": "`{estimator}` under a differentiated ratio descends {divergence}, which is not convex",
    "W209": "`{estimator}` token by token gives the stepwise gradient, not that of whole responses",
    "W211": "`full` in the {place} alone misses a part of the gradient of KL(π‖ref)",
    "E301": "a penalty in the reward, on given data without importance weights, is biased",
}
PLACES: Mapping[Placement, str] = {"reward": "reward", "loss": "loss", "ratio": "loss under a ratio"}


def kl_codes(estimator: str, placement: Placement, granularity: str, sampling: Sampling) -> tuple[str, ...]:
    """List what is wrong with a placement. Raises FormulaError for what is no estimator.

    A policy gradient's `kl:` block and a `kl` term both come here.
    """
    if sampling == "given" and placement == "reward":
        return ("E301",)
    if estimator == "full":
        return ("W211",) if placement == "reward" else ("W209", "W211")
    if sampling == "given" and placement == "loss":
        return _on_given_data(estimator)
    found = meaning(estimator, placement)
    codes = [CODES[found.kind]] if found.kind in CODES else []
    if granularity == "token" and stepwise(found, placement):
        codes.append("W209")
    return tuple(codes)


def stepwise(found: Meaning, placement: Placement) -> bool:
    """Tell whether a sum over tokens means something else than the same estimate of the whole response.

    k1 in the reward, summed over what follows, is the chain rule of KL; every other one drops the effect of a
    token on the states that it leads to.
    """
    holds = found.sound or found.kind in (Kind.NONCONVEX, Kind.UNDECIDED)
    chain_rule = placement == "reward" and found.kind == Kind.KL
    return holds and not chain_rule


def _on_given_data(estimator: str) -> tuple[str, ...]:
    """Without weights nothing but the behaviour at the reference is known: κ′(0) must be 0."""
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


def _terms(checked: Checked) -> Iterator[tuple[int, KLTerm]]:
    for index, term in enumerate(checked.spec.job.objective.terms):
        if isinstance(term, KLTerm):
            yield index, term


def placed(term: KLTerm) -> tuple[str, Placement, Sampling]:
    """Read off a term which estimator gives the gradient, where it stands, and on whose responses."""
    weighted = term.correction != "none"
    place: Placement = "ratio" if term.correction == "ratio" else "loss"
    return term.gradient or term.estimator, place, "weighted" if weighted else "given"


def kl_soundness(checked: Checked) -> Iterator[Diagnostic]:
    """E201 to E205, W206 to W209, W211: what an estimator in the loss really does."""
    for index, term in _terms(checked):
        estimator, place, sampling = placed(term)
        for code in kl_codes(estimator, place, term.granularity, sampling):
            divergence = meaning(estimator, place).divergence
            words = SAID[code].format(estimator=estimator, place=PLACES[place], divergence=divergence)
            step = "granularity" if code == "W209" else "gradient" if term.gradient else "estimator"
            yield checked.finding(code, words, (*term_path(index), step))


def clamped(checked: Checked) -> Iterator[Diagnostic]:
    """W212: outside the clamp there is no pull."""
    for index, term in _terms(checked):
        if term.clamp is not None:
            message = f"where |u| is above {term.clamp:g} nat nothing pulls the policy back"
            yield checked.finding("W212", message, (*term_path(index), "clamp"))


def straight_through(checked: Checked) -> Iterator[Diagnostic]:
    """W214: the value of one estimator, the gradient of another."""
    for index, term in _terms(checked):
        if term.gradient is not None and term.gradient != term.estimator:
            message = f"`kl` is logged by `{term.estimator}`, but the gradient is that of `{term.gradient}`"
            yield checked.finding("W214", message, (*term_path(index), "gradient"))

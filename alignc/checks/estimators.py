"""Checks of KL estimators: whether an estimator at its placement holds the policy near the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from alignc.checks.rule import Checked, term_path
from alignc.diagnostics import Diagnostic
from alignc.spec.kl import FULL
from alignc.spec.objective import KLTerm
from alignc.theory.divergence import meaning
from alignc.theory.kinds import Placement
from alignc.theory.soundness import kl_codes, placed, whole_by_both

__all__ = ["SAID", "clamped", "kl_soundness", "straight_through"]

SAID: Mapping[str, str] = {
    "E201": "`{estimator}` in the {place} has zero expected gradient: it adds noise and does not regularize",
    "E202": "`{estimator}` in the loss on given data pushes the policy away from the reference, even at the reference",
    "E203": "`{estimator}` in the {place} does not pull the policy to the reference: it descends {divergence}",
    "E204": "`{estimator}` in the {place} drives the policy to collapse: it descends {divergence}",
    "E205": "`{estimator}` in the {place} does not pull the policy to the reference: it descends {divergence}",
    "W206": "`{estimator}` in the {place} descends {divergence}, not KL(π‖ref)",
    "W207": "`{estimator}` in the {place} descends {divergence}, not KL(π‖ref)",
    "W208": "`{estimator}` under a differentiated ratio descends {divergence}, which is not convex",
    "W209": "`{estimator}` with `granularity: token` gives a stepwise gradient, not the gradient for whole responses",
    "W211": "`full` in the {place} alone misses a part of the gradient of KL(π‖ref)",
    "E301": "a penalty in the reward, on given data without importance weights, is biased",
}
PLACES: Mapping[Placement, str] = {"reward": "reward", "loss": "loss", "ratio": "loss under a ratio"}


def _terms(checked: Checked) -> Iterator[tuple[int, KLTerm]]:
    for index, term in enumerate(checked.spec.job.objective.terms):
        if isinstance(term, KLTerm):
            yield index, term


def kl_soundness(checked: Checked) -> Iterator[Diagnostic]:
    """E201 to E205, W206 to W209, W211: the divergence that a KL term of the loss descends."""
    for index, term in _terms(checked):
        estimator, place, sampling = placed(term, checked.spec.job.data.kind)
        whole = estimator == FULL.name and whole_by_both(checked.spec.job.objective.terms)
        for code in () if whole else kl_codes(estimator, place, term.granularity, sampling):
            divergence = meaning(estimator, place).divergence
            words = SAID[code].format(estimator=estimator, place=PLACES[place], divergence=divergence)
            step = "granularity" if code == "W209" else "gradient" if term.gradient else "estimator"
            yield checked.finding(code, words, (*term_path(index), step))


def clamped(checked: Checked) -> Iterator[Diagnostic]:
    """W212: outside the clamp, the estimator has no gradient."""
    for index, term in _terms(checked):
        if term.clamp is not None:
            message = (
                f"where |u| is above {term.clamp:g} nat, the clamped estimator does not pull the policy back"
            )
            yield checked.finding("W212", message, (*term_path(index), "clamp"))


def straight_through(checked: Checked) -> Iterator[Diagnostic]:
    """W214: a term with the value of one estimator and the gradient of another."""
    for index, term in _terms(checked):
        if term.gradient is not None and term.gradient != term.estimator:
            message = f"`kl` is logged with `{term.estimator}`, but the gradient is the gradient of `{term.gradient}`"
            yield checked.finding("W214", message, (*term_path(index), "gradient"))

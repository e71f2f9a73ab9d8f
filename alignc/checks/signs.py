"""Checks of signs: whether the first step moves the policy in the right direction."""

from __future__ import annotations

from collections.abc import Iterator

from alignc.checks.rule import Checked, term_path
from alignc.contract.models import POLICY
from alignc.contract.outputs import Quantity
from alignc.contract.responses import CHOSEN, REJECTED, Response
from alignc.diagnostics import Diagnostic
from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Column, Length, Logp, Node, Output, Position
from alignc.graph.rewrite import inputs
from alignc.lower.loss import alone, at_reference
from alignc.spec.axes import FormulaLink, LengthMargin, LogisticLink, RobustLink
from alignc.spec.objective import Pointwise, Preference, Term

__all__ = ["descent_direction", "rewarded_length", "smoothing", "turned_around"]

POINTS = ((-20.0, 11.0, -26.0, 14.0), (-31.0, 18.0, -12.0, 6.0), (-15.0, 9.0, -15.0, 9.0))
"""log π in nat and length in tokens of the chosen and then of the rejected response.

The chosen response is shorter, longer, and as long as the rejected response.
"""
DISTANCES = (-300.0, -100.0, -30.0, 30.0, 100.0, 300.0)
"""Shifts of log π in nat: up for the chosen response and down for the rejected response."""


def descent_direction(checked: Checked) -> Iterator[Diagnostic]:
    """E501: at π = ref a step must raise the chosen response and must not raise the rejected one.

    The loss of DiscoPOP has a local minimum near the start, but it falls as the ranking of a pair improves.
    Such a loss has no sign error.
    """
    terms = checked.spec.job.objective.terms
    if (
        not checked.loss.view.pair
        or any(_half_flipped(t) for t in terms)
        or all(t.kind == "kl" for t in terms)
    ):
        return
    root = alone(checked.loss.root)
    slopes = [_slopes(root, point) for point in POINTS]
    wrong = [(w, l) for w, l in slopes if w > 0 or l < 0 or w == l == 0]
    if wrong and not all(_ranks(root, point) for point in POINTS):
        chosen, rejected = wrong[0]
        message = (
            f"the first step goes in the wrong direction: ∂L/∂log π is {chosen:.3g} on the chosen response"
            f" and {rejected:.3g} on the rejected one"
        )
        yield checked.finding("E501", message, _blamed(checked))


def _slopes(root: Node, point: tuple[float, ...]) -> tuple[float, float]:
    values = _values(point)
    found = [at_reference(gradient(root, trained_output(root, y))) for y in values]
    given = {n: [_given(n, values)] for node in found for n in inputs(node)}
    return _number(evaluate(found[0], given)), _number(evaluate(found[1], given))


def _values(point: tuple[float, ...]) -> dict[str, tuple[float, float]]:
    return {CHOSEN: (point[0], point[1]), REJECTED: (point[2], point[3])}


def _ranks(root: Node, point: tuple[float, ...]) -> bool:
    """Return whether the loss never rises, and falls overall, as the policy ranks the pair more correctly."""
    losses = []
    for nats in DISTANCES:
        moved = _values((point[0] + nats, point[1], point[2] - nats, point[3]))
        given = {
            n: [_given(n, moved if isinstance(n, Logp) and n.model == POLICY else _values(point))]
            for n in inputs(root)
        }
        losses.append(_number(evaluate(root, given)))
    return losses == sorted(losses, reverse=True) and losses[0] > losses[-1]


def trained_output(root: Node, response: str) -> Node:
    """Return the trained output of a response: its log-probability, or the score of a reward model."""
    score = Output(Quantity.SCORE, POLICY, response)
    return score if score in inputs(root) else Logp(POLICY, response)


def _given(node: Node, values: dict[str, tuple[float, float]]) -> object:
    match node:
        case Logp(response=response):
            return [values[response][0]]
        case Length(response=response):
            return values[response][1]
        case Position(response=response):
            return [1.0]
        case Output(quantity=Quantity.LOG_SUM_SQUARES, response=response):
            return [2 * values[response][0]]
        case Column(name="margin") | Output(quantity=Quantity.SCORE) | Column(response=Response.REJECTED):
            return 0.0
    return 1.0


def _number(value: object) -> float:
    while isinstance(value, list):
        value = value[0]
    assert isinstance(value, float | int)
    return float(value)


def _blamed(checked: Checked) -> tuple[str | int, ...]:
    terms = checked.spec.job.objective.terms
    for index, term in enumerate(terms):
        if term.weight < 0:
            return (*term_path(index), "weight")
    for index, term in enumerate(terms):
        if isinstance(term, Preference | Pointwise) and isinstance(term.link, FormulaLink):
            named = checked.spec.document.origins.get((*term_path(index), "link", "formula"))
            return (*term_path(index), "link", "formula") if named else (*term_path(index), "link")
    return ("objective",)


def _half_flipped(term: Term) -> bool:
    """Return whether E404 or W405 already reports the label smoothing of a term."""
    link = getattr(term, "link", None)
    return isinstance(link, LogisticLink | RobustLink) and link.label_smoothing >= 0.5


def rewarded_length(checked: Checked) -> Iterator[Diagnostic]:
    """W502: a negative α rewards length."""
    for index, term in enumerate(checked.spec.job.objective.terms):
        if isinstance(term, Preference) and isinstance(term.margin, LengthMargin) and term.margin.alpha < 0:
            message = f"α = {term.margin.alpha:g} rewards length"
            yield checked.finding("W502", message, (*term_path(index), "margin", "alpha"))


def turned_around(checked: Checked) -> Iterator[Diagnostic]:
    """W503: a negative weight that no other finding reports."""
    for index, term in enumerate(checked.spec.job.objective.terms):
        said = isinstance(term, Pointwise) and checked.loss.view.pair
        if term.weight < 0 and not said and (does := BACKWARDS.get(term.kind)):
            message = f"`{term.name}` has the weight {term.weight:g}: the term {does}"
            yield checked.finding("W503", message, (*term_path(index), "weight"))


BACKWARDS = {
    "entropy": "lowers the entropy of the policy until a single response is left",
    "kl": "drives the policy away from its anchor, without bound",
    "value": "drives the critic away from the returns, without bound",
    "policy_gradient": "lowers the expected reward",
    "pointwise": "lowers the responses that it should raise, and raises the responses that it should lower",
}
"""The effect of a negative weight by kind of term; E302 and E501 cover likelihoods and preferences."""


def smoothing(checked: Checked) -> Iterator[Diagnostic]:
    """E404 and W405: label smoothing of one half or more."""
    for index, term in enumerate(checked.spec.job.objective.terms):
        if isinstance(term, Preference) and isinstance(term.link, LogisticLink | RobustLink):
            path, epsilon = (*term_path(index), "link", "label_smoothing"), term.link.label_smoothing
            robust = isinstance(term.link, RobustLink)
            if epsilon > 0.5 or (robust and epsilon == 0.5):
                yield checked.finding("E404", f"ε = {epsilon:g} reverses the preferences", path)
            elif epsilon == 0.5:
                yield checked.finding(
                    "W405", "ε = ½ holds the margin at 0: the policy learns no preference", path
                )

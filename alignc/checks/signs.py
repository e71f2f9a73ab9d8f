"""Checks of signs: whether the first step moves the policy in the right direction."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from alignc.checks.rule import Checked, term_path
from alignc.contract.baselines import PARTITIONS
from alignc.contract.models import POLICY
from alignc.contract.outputs import Quantity
from alignc.contract.responses import CHOSEN, COMPLETION, REJECTED, Response
from alignc.diagnostics import Diagnostic
from alignc.graph import build as b
from alignc.graph.bounds import Bounds, bounds, usual
from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.nodes import REWARD, Column, Length, Logp, Node, Output, Position
from alignc.graph.rewrite import inputs, substitute
from alignc.lower.links import LINKS
from alignc.lower.loss import alone, at_reference
from alignc.printers.formula import text
from alignc.spec.axes import FormulaLink, LengthMargin, LogisticLink, RobustLink
from alignc.spec.objective import Pointwise, Preference, Term

__all__ = ["descent_direction", "rewarded_length", "smoothing", "turned_around"]

POINTS = ((-20.0, 11.0, -26.0, 14.0), (-31.0, 18.0, -12.0, 6.0), (-15.0, 9.0, -15.0, 9.0))
"""log π in nat and length in tokens of the chosen and then of the rejected response.

The chosen response is shorter, longer, and as long as the rejected response.
"""
DISTANCES = (-300.0, -100.0, -30.0, 30.0, 100.0, 300.0)
"""Shifts of log π in nat: up for the chosen response and down for the rejected response."""
ELSE = (-20.0, 10.0)
"""log π and length of a response that is not of the pair."""
LONGEST = 160
"""The most characters of a slope that a message shows."""


@dataclass(frozen=True)
class Slope:
    """The slope of the loss on one kind of response, at π = ref; a step should `raise` the response or lower it.

    `given` bounds the inputs: a label is that of the response, and the chosen response is the better one.
    """

    words: str
    raises: bool
    node: Node
    given: Callable[[Node], Bounds]

    @property
    def bounds(self) -> Bounds:
        """The bounds of the slope, with the sign that makes a right slope positive."""
        low, high = bounds(self.node, self.given)
        return (-high, -low) if self.raises else (low, high)

    @property
    def value(self) -> float:
        """The slope at a usual row, with the sign that makes a right slope positive."""
        found = {n: [_given(n, self, _values(POINTS[0]))] for n in inputs(self.node)}
        return _number(evaluate(self.node, found)) * (-1 if self.raises else 1)


def descent_direction(checked: Checked) -> Iterator[Diagnostic]:
    """E501: at π = ref a step must raise the chosen response and must not raise the rejected one.

    The same holds of desirable and undesirable rows. The bounds of the slopes decide it for all rows, and W505 says
    what is undecided. A regression draws its distance to 0 from both sides, so that each sign is right. The loss of
    DiscoPOP has a local minimum near the start, but it falls as the ranking of a pair improves: it has no sign error.
    """
    terms = checked.spec.job.objective.terms
    if any(_half_flipped(t) for t in terms) or all(t.kind == "kl" for t in terms):
        return
    root = alone(checked.loss.root)
    if not root.type.trained:
        message = "no step changes the policy: the loss does not depend on its log-probabilities"
        yield checked.finding("E501", message, _blamed(checked))
        return
    slopes = _slopes(root, checked)
    nothing = bool(slopes) and all(s.bounds == (0, 0) for s in slopes)
    if nothing or any(s.bounds[1] <= 0 and s.value < 0 for s in slopes):
        if not (checked.loss.view.pair and all(_ranks(root, point) for point in POINTS)):
            found = " and ".join(
                f"{(-1 if s.raises else 1) * s.value + 0.0:.3g} on {s.words}" for s in slopes
            )
            message = f"the first step goes in the wrong direction: ∂L/∂log π is {found}"
            yield checked.finding("E501", message, _blamed(checked))
        return
    for slope in slopes if not any(_regresses(t) for t in terms) else ():
        if not slope.bounds[0] >= 0:
            yield checked.finding("W505", _undecided(slope), _blamed(checked))
            return


def _regresses(term: Term) -> bool:
    return isinstance(term, Preference | Pointwise) and LINKS[term.link.kind].regression


def _undecided(slope: Slope) -> str:
    wanted = "below 0" if slope.raises else "above 0"
    shown = text(slope.node)
    where = f"∂L/∂log π = {shown}" if len(shown) <= LONGEST else "∂L/∂log π"
    does = "raises" if slope.raises else "lowers"
    return f"the first step {does} {slope.words} only in rows where {where} is {wanted}"


def _slopes(root: Node, checked: Checked) -> list[Slope]:
    """List the slopes that have a right sign: those of a pair, or of a labelled response by its label."""
    if checked.loss.view.pair:
        return [
            _slope(root, CHOSEN, "the chosen response", True, 1.0),
            _slope(root, REJECTED, "the rejected response", False, 0.0),
        ]
    if not any(isinstance(n, Column) and n.name == "label" for n in inputs(root)):
        return []
    return [
        _slope(root, COMPLETION, "desirable responses", True, 1.0),
        _slope(root, COMPLETION, "undesirable responses", False, 0.0),
    ]


def _slope(root: Node, response: str, words: str, raises: bool, label: float) -> Slope:
    """Take the slope at the reference; the reward of a chosen response is that of the rejected one and a gap."""
    worse = Column("reward", REJECTED, REWARD)
    better: Node = b.add(worse, Column(GAP, None, REWARD))
    slope = substitute(
        gradient(root, trained_output(root, response)), {Column("reward", CHOSEN, REWARD): better}
    )
    return Slope(words, raises, at_reference(slope), lambda node: _domain(node, label))


GAP = "reward_gap"


def _domain(node: Node, label: float) -> Bounds:
    """Bound an input; a score starts near 0, and the better response of a pair wins in one half of cases or more."""
    match node:
        case Column(name="label"):
            return label, label
        case Column(name=name) if name == GAP:
            return 0.0, math.inf
        case Column(name="win_rate", response=Response.CHOSEN):
            return 0.5, 1.0
        case Column(name="win_rate", response=Response.REJECTED):
            return 0.0, 0.5
        case Column(name="win_rate"):
            return 0.0, 1.0
        case Column(name=name) if name in PARTITIONS:
            return 0.5, 0.5
        case Output(quantity=Quantity.SCORE):
            return 0.0, 0.0
    return usual(node)


def _values(point: tuple[float, ...]) -> dict[str, tuple[float, float]]:
    return {CHOSEN: (point[0], point[1]), REJECTED: (point[2], point[3])}


def _ranks(root: Node, point: tuple[float, ...]) -> bool:
    """Return whether the loss never rises, and falls overall, as the policy ranks the pair more correctly."""
    losses = []
    for nats in DISTANCES:
        moved = _values((point[0] + nats, point[1], point[2] - nats, point[3]))
        given = {
            n: [_given(n, None, moved if isinstance(n, Logp) and n.model == POLICY else _values(point))]
            for n in inputs(root)
        }
        losses.append(_number(evaluate(root, given)))
    return losses == sorted(losses, reverse=True) and losses[0] > losses[-1]


def trained_output(root: Node, response: str) -> Node:
    """Return the trained output of a response: its log-probability, or the score of a reward model."""
    score = Output(Quantity.SCORE, POLICY, response)
    return score if score in inputs(root) else Logp(POLICY, response)


def _given(node: Node, slope: Slope | None, values: dict[str, tuple[float, float]]) -> object:
    """Give an input of a usual row: what its bounds allow, near 0 or 1."""
    match node:
        case Logp(response=response):
            return [values.get(response, ELSE)[0]]
        case Length(response=response):
            return values.get(response, ELSE)[1]
        case Position():
            return [1.0]
        case Output(quantity=Quantity.LOG_SUM_SQUARES, response=response):
            return [2 * values.get(response, ELSE)[0]]
        case Column(name="margin") | Output(quantity=Quantity.SCORE) | Column(response=Response.REJECTED):
            return 0.0
    low, high = slope.given(node) if slope else (-math.inf, math.inf)
    return min(max(1.0, low), high)


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
        if isinstance(term, Preference | Pointwise) and isinstance(term.link, LogisticLink | RobustLink):
            path, epsilon = (*term_path(index), "link", "label_smoothing"), term.link.label_smoothing
            robust = isinstance(term.link, RobustLink)
            if epsilon > 0.5 or (robust and epsilon == 0.5):
                yield checked.finding("E404", f"ε = {epsilon:g} reverses the preferences", path)
            elif epsilon == 0.5:
                yield checked.finding(
                    "W405", "ε = ½ holds the margin at 0: the policy learns no preference", path
                )

"""Claims about optima that the link and the target of a term decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from alignc.claims.kinds.descent import Undecided
from alignc.claims.kinds.spec import Endless, Turns, Unbounded, WinRateOptimum
from alignc.claims.model import Claim, Section, Subject
from alignc.contract.baselines import LOG_PARTITION
from alignc.contract.kinds import SELF_PLAY
from alignc.contract.models import POLICY, PREVIOUS_ITERATE, ROLLOUT
from alignc.contract.outputs import Quantity
from alignc.contract.responses import COMPLETION, COMPLETIONS
from alignc.graph import build as b
from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Named, NamedRole, Node, Output
from alignc.graph.rewrite import inputs, substitute
from alignc.graph.walk import walk
from alignc.lower.links import LINKS, endless
from alignc.lower.loss import TermLoss
from alignc.spec.objective import Pointwise, Preference
from alignc.spec.scores import LOG_RATIO, SCALAR_HEAD
from alignc.spec.targets import NoPoint, WinRateTarget

__all__ = ["links"]

GRID = tuple(x / 4 for x in range(-160, 161))


def links(subject: Subject) -> Iterator[Claim]:
    """Describe the loss of a pair as a function of its margin, and the optimum of a regression on win rates."""
    for term, lowered in zip(subject.spec.job.objective.terms, subject.loss.terms, strict=True):
        if isinstance(term, Preference) and term.score.of != SCALAR_HEAD:
            yield from _pair(term, lowered)
        if isinstance(term, Pointwise) and isinstance(term.target, WinRateTarget):
            yield from _win_rates(term, subject)


def _pair(term: Preference, lowered: TermLoss) -> Iterator[Claim]:
    found = _of_margin(lowered)
    if found is None:
        return
    z, value = found
    slope = gradient(value, z)
    if endless(term.link) and not LINKS[term.link.kind].debiased:
        yield Endless(term.name, z, value)
        return
    if float(evaluate(slope, {z: 1e6})) < -1e-9:
        yield Unbounded(term.name, z, value)
        return
    low, high = _turns(lambda x: float(evaluate(slope, {z: x})))
    if low:
        yield Turns(term.name, z, value, low, high)


def _of_margin(lowered: TermLoss) -> tuple[Node, Node] | None:
    """Write the loss of a pair as a function of its margin; None where it reads more than the margin."""
    places = [n for n in walk(lowered.rows) if isinstance(n, Named) and n.role is NamedRole.DISTANCE]
    if len(places) != 1:
        return None
    leaf = Output(Quantity.SCORE, POLICY, COMPLETION)
    margin = b.in_unit(leaf, places[0].type.unit)
    value = substitute(lowered.rows, {places[0]: margin})
    return (leaf, value) if set(inputs(value)) == {leaf} else None


def _turns(slope: Callable[[float], float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Bisect for the places where the slope changes its sign."""
    low: list[float] = []
    high: list[float] = []
    for left, right in pairwise(GRID):
        below, above = slope(left), slope(right)
        if below * above >= 0 and not (below < 0 and above == 0):
            continue
        place = _bisected(slope, left, right)
        (low if below < 0 else high).append(round(place, 6) + 0.0)
    return tuple(low), tuple(high)


def _bisected(slope: Callable[[float], float], left: float, right: float) -> float:
    rising = slope(left) < 0
    for _ in range(80):
        middle = (left + right) / 2
        if (slope(middle) < 0) is rising:
            left = middle
        else:
            right = middle
    return (left + right) / 2


def _win_rates(term: Pointwise, subject: Subject) -> Iterator[Claim]:
    """State the optimum over samples of the anchor, for a plain squared regression that stands alone."""
    target = term.target
    assert isinstance(target, WinRateTarget)
    if not LINKS[term.link.kind].regression or target.outcome != "column":
        return
    score, known = term.score, []
    if len(subject.spec.job.objective.terms) > 1 or subject.spec.whole is not None:
        known.append("other terms act on the policy too")
    if term.on not in (COMPLETION, COMPLETIONS) or subject.loss.view.pair:
        known.append("only selected responses are fitted")
    plain = score.of == LOG_RATIO and score.transform is None and score.tail_weight == 1
    if score.reduce != "sum" or not plain or not isinstance(term.reference_point, NoPoint):
        known.append("the score is not the summed log-ratio")
    own = (PREVIOUS_ITERATE, ROLLOUT)
    if subject.spec.job.data.kind == SELF_PLAY and score.anchor not in own:
        known.append("the responses are not samples of the anchor")
    if known:
        yield Undecided(f"{term.name}: the optimum", tuple(known), Section.OPTIMUM)
        return
    exact = target.baseline == LOG_PARTITION.name and score.beta == 1
    yield WinRateOptimum(term.name, target.eta, score.beta, target.baseline, exact)

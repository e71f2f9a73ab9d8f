"""Claims about the gradient: its formula, the way in which it moves a response, and what it leaves free."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence

from alignc.claims.model import Claim, Push, Shift, ShiftWay, Slope, SlopeAtStart, Subject, Way, When
from alignc.claims.numbers import draw, flat
from alignc.claims.slopes import by_row, other_outputs, slope, trained_output
from alignc.contract.models import POLICY
from alignc.graph import build as b
from alignc.graph.evaluate import evaluate
from alignc.graph.nodes import Column, Length, Logp, Named, NamedRole, Node, Output
from alignc.graph.rewrite import inputs, substitute
from alignc.graph.sign import sign
from alignc.graph.walk import walk
from alignc.lower.loss import Loss, at_reference
from alignc.plan.needs import known_start, reference_of

__all__ = ["gradients", "starts_at_reference"]

SPREADS = (1.0, 10.0, 60.0)
TRIED = 24
"""The batches that are tried, where the form of a coefficient does not decide its sign."""


def gradients(subject: Subject) -> Iterator[Claim]:
    """Derive the coefficient on each trained output, and say what it does."""
    loss = subject.loss
    for response in loss.view.responses:
        leaf = trained_output(loss, response)
        own = slope(loss, leaf)
        yield Slope(leaf, response, own, by_row(loss))
        yield from _effect(subject, leaf, response, own)
    for output in other_outputs(loss):
        yield Slope(output, output.response, slope(loss, output), by_row(loss))
    yield from _shift(loss)


def starts_at_reference(subject: Subject) -> bool:
    """Return whether the policy is the reference before the first step."""
    job = subject.spec.job
    return reference_of(subject.needs, job) in known_start(job)


def _effect(subject: Subject, leaf: Node, response: str, own: Node) -> Iterator[Claim]:
    way = _way(own)
    if way is not None:
        yield Push(leaf, response, way)
    known = starts_at_reference(subject)
    start = _way(own, at_reference) if known and way is None else None
    if start is not None:
        yield Push(leaf, response, start, When.START)
    if way is None:
        yield Push(leaf, response, _tried(own))
    first = at_reference(own) if known else None
    if first is not None and not inputs(first):
        yield SlopeAtStart(leaf, response, float(evaluate(first, {})))


WAYS = {-1: Way.RAISES, 1: Way.LOWERS, 0: Way.KEEPS}
LABELLED: Mapping[tuple[int | None, ...], Way] = {(-1, 1): Way.BY_LABEL, (1, -1): Way.AGAINST_LABEL}


def _same(node: Node) -> Node:
    return node


def _way(own: Node, placed: Callable[[Node], Node] = _same) -> Way | None:
    """Decide by form how a step moves a response: always, by its label, or by its advantage.

    `placed` puts the coefficient where the claim is made, such as at the reference.
    """
    if (found := sign(placed(own))) is not None:
        return WAYS[found]
    labels = [n for n in inputs(own) if isinstance(n, Column) and n.name == "label"]
    if labels:
        return LABELLED.get(tuple(_signs(own, labels, (1.0, 0.0), placed)))
    advantages = [n for n in walk(own) if isinstance(n, Named) and n.role is NamedRole.ADVANTAGE]
    if any(n.type.axis.by_token and not own.type.axis.by_token for n in advantages):
        return None  # one ratio per response adds up the advantages of its tokens
    both = tuple(_signs(own, advantages, (1.0, -1.0), placed)) if len(advantages) == 1 else ()
    return Way.BY_ADVANTAGE if both == (-1, 1) else None


def _signs(
    own: Node, leaves: Sequence[Node], values: Sequence[float], placed: Callable[[Node], Node]
) -> Iterator[int | None]:
    for value in values:
        given: dict[Node, Node] = {n: b.in_unit(b.constant(value), n.type.unit) for n in leaves}
        yield sign(placed(substitute(own, given)))


def _tried(own: Node) -> Way:
    """Look for rows that show both signs."""
    rng, seen = random.Random(7), set[bool]()
    for i in range(TRIED):
        values = flat(evaluate(own, {**draw(rng, (own,), spread=SPREADS[i % 3])}))
        seen |= {x > 0 for x in values if abs(x) > 1e-12}
    return Way.EITHER if len(seen) == 2 else Way.UNDECIDED


# ---- both log-probabilities of a pair together ------------------------------------------------------------------


def _shift(loss: Loss) -> Iterator[Claim]:
    """Decide what the loss of a pair does while both log-probabilities fall together."""
    if not loss.view.pair or any(isinstance(trained_output(loss, y), Output) for y in loss.view.responses):
        return
    slopes = {y: slope(loss, Logp(POLICY, y)) for y in loss.view.responses}
    if any(c.type.axis.by_token for c in slopes.values()):
        yield Shift(ShiftWay.BY_TOKEN)
        return
    if b.add(*(b.multiply(c, Length(y)) for y, c in slopes.items())) == b.ZERO:
        yield Shift(ShiftWay.SAME_MEANS)
        return
    total = b.add(*slopes.values())
    found = SHIFTS.get(sign(total))
    yield Shift(found) if found is not None else _shift_tried(total)


SHIFTS: Mapping[int | None, ShiftWay] = {0: ShiftWay.SAME, -1: ShiftWay.RISES, 1: ShiftWay.FALLS}


def _shift_tried(total: Node) -> Shift:
    rng, seen = random.Random(8), set[bool]()
    for i in range(TRIED):
        values = flat(evaluate(total, draw(rng, (total,), spread=SPREADS[i % 3])))
        seen |= {x > 0 for x in values if abs(x) > 1e-12}
    return Shift(ShiftWay.DEPENDS if len(seen) == 2 else ShiftWay.UNDECIDED)

"""Compare the meaning of two specs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from alignc.contract.needs import LossNeeds
from alignc.contract.responses import GROUP, PAIR
from alignc.diff.changes import changes
from alignc.diff.conditions import Condition, applied, candidates, combined
from alignc.diff.decide import Proof, decide, decide_gradient, is_coupled
from alignc.diff.expectation import LABELLED, WHEN, Expected, expected_factor
from alignc.diff.groups import SIZES, decided_by_size
from alignc.diff.model import VERDICTS, Conditional, Difference, Verdict
from alignc.diff.rollouts import computed, told_apart
from alignc.diff.separate import Agreement, agree, separation
from alignc.diff.sides import Sampling, Side, aligned, side_of
from alignc.diff.strict import strictness
from alignc.diff.witness import witness
from alignc.graph.nodes import Column
from alignc.graph.rewrite import inputs
from alignc.load.load import Loaded
from alignc.lower.loss import Loss

__all__ = ["Spec", "compare"]

Spec = tuple[Loaded, Loss, LossNeeds]
MOST_TRIED = 150
"""How many conditions of two or three parts are tried; each by itself is always tried."""

APART = "the losses read rows of different shapes, and no row has both shapes"
SIZES_IN_WORDS = f"k = {SIZES[0]} to {SIZES[-1]}"
ENUMERATED = "checked by enumerating every sample of five random tabular policies"
N7 = "rule: E_π[c·∇log π(y)] = 0 for c free of y"
SHOWN = "the gradients are the same at the points that were tried, of which there are {}: this is no proof"


def compare(a: Spec, b: Spec) -> Difference:
    """Find the strongest equality of two objectives that holds for all inputs, what proves it, and what changes."""
    changed = changes(a, b)
    shaped = aligned(side_of(a[0], a[1]), side_of(b[0], b[1]))
    if shaped is None:
        return Difference("different", None, None, (APART,), (), changed, (), None)
    left, right, shape = shaped
    right, apart = told_apart(left, right, computed(a[1], a[2]), computed(b[1], b[2]))
    found = _unconditional((left, right), (a[1], b[1]))
    if apart and found.verdict == "different":
        found = replace(found, trace=(*apart, *found.trace))
    return replace(
        found,
        conditions=(*shape, *found.conditions),
        conditional=tuple(_conditional(left, right, found.verdict)),
        changes=changed,
        strictness=strictness(left, right),
    )


def _unconditional(both: tuple[Side, Side], losses: tuple[Loss, Loss]) -> Difference:
    own = _own_size(*both)
    proof = decide(*both, {}) or (decided_by_size(*both, {}, own) if own else None)
    if proof is not None:
        found = Difference(
            proof.verdict, proof.factor, proof.constant, (), (), (), proof.trace, None, proof.formula
        )
        return replace(found, conditions=(f"groups of {own} responses",)) if proof.formula else found
    coupled = any(is_coupled(s.root) for s in both)
    point = separation(*both, coupled, own)
    if isinstance(point, Agreement):
        known = (SHOWN.format(point.points),)
        return Difference("undecided", None, None, known, (), (), (), None)
    apart = witness(point, both, losses, coupled)
    on_policy = _on_policy(*both) if _sampling(*both) == "each_update" else None
    if on_policy is None:
        return Difference("different", None, None, (), (), (), (), apart)
    words, found_trace = (on_policy.words,), _enumerated(on_policy)
    factor, formula = on_policy.factor, on_policy.formula
    return Difference("equal_in_expectation", factor, None, words, (), (), found_trace, apart, formula)


def _own_size(a: Side, b: Side) -> int | None:
    """Return the number of responses that both specs sample for a prompt, if it is one number."""
    return a.group if a.group == b.group and a.responses == GROUP else None


def _sampling(a: Side, b: Side) -> Sampling:
    """Say when the rows of both specs are samples of the policy: the more seldom of the two."""
    return max(a.sampling, b.sampling, key=list(WHEN).index)


def _on_policy(a: Side, b: Side) -> Expected | None:
    """Compare expected gradients over the policy's own samples; pairs are ranked afterwards, and no such samples."""
    if a.responses == PAIR or (a.responses == GROUP and a.group != b.group):
        return None
    return expected_factor(a, b, WHEN[_sampling(a, b)], _own_size(a, b))


def _enumerated(found: Expected) -> tuple[str, ...]:
    ratio = found.formula if found.factor is None else f"{found.factor:.12g}"
    in_k = (
        (f"for groups of k responses: ∇A = {found.formula}·∇B, checked at {SIZES_IN_WORDS}",)
        if found.formula
        else ()
    )
    return (f"{found.words}: ∇A = {ratio}·∇B", *in_k, ENUMERATED, N7)


def _conditional(left: Side, right: Side, verdict: Verdict) -> Iterator[Conditional]:
    """Yield what holds under conditions and is stronger than the verdict; no condition that is more than is needed."""
    best = VERDICTS.index(verdict)
    single = candidates(left, right)
    proved: list[tuple[Condition, int]] = []
    for condition in islice(_tried(single, proved), len(single) + MOST_TRIED):
        proof = _under(condition, left, right)
        rank = VERDICTS.index(proof.verdict) if proof else len(VERDICTS)
        if proof is None or rank >= best or _weaker(condition, rank, proved):
            continue
        proved.append((condition, rank))
        sizes = ("all groups have one size k",) if proof.formula and _own_size(left, right) is None else ()
        words = (*condition.words.split("; "), *sizes)
        yield Conditional(proof.verdict, words, proof.factor, proof.constant, proof.trace, proof.formula)
    yield from _sampled(left, right, best)
    yield from _labelled(left, right, best)


def _tried(single: list[Condition], proved: list[tuple[Condition, int]]) -> Iterator[Condition]:
    """Yield conditions one by one, then two and three at a time."""
    yield from single
    pairs = [
        c
        for i, x in enumerate(single)
        for y in single[i + 1 :]
        if (c := combined(x, y)) and not _implied(c, proved)
    ]
    yield from pairs
    if any(rank == 0 for _, rank in proved):
        return
    for x in pairs:
        for y in single:
            if y.words > x.words.split("; ")[-1] and (c := combined(x, y)):
                yield c


def _implied(condition: Condition, proved: list[tuple[Condition, int]]) -> bool:
    return _weaker(condition, 0, proved)


def _weaker(condition: Condition, rank: int, proved: list[tuple[Condition, int]]) -> bool:
    """Tell whether fewer or wider conditions gave as much already."""
    parts = {*condition.words.split("; "), condition.special}
    return any(set(c.words.split("; ")) <= parts and before <= rank for c, before in proved)


def _under(condition: Condition, left: Side, right: Side) -> Proof | None:
    """Prove what holds under a condition; points come first, for they refute most at little cost."""
    a, b = applied(condition, left), applied(condition, right)
    if a is None or b is None:
        return None
    own = _own_size(a, b)
    if agree(a, b, condition.bonds, own):
        proof = _proved(condition, a, b)
        if proof is not None:
            return proof
    if a.responses != GROUP or (a.group != b.group) or not agree(a, b, condition.bonds, own or 3):
        return None
    return decided_by_size(a, b, condition.bonds, own, gradient=condition.gradient_only)


def _proved(condition: Condition, a: Side, b: Side) -> Proof | None:
    if condition.gradient_only:
        return decide_gradient(a, b, condition.bonds)
    return decide(a, b, condition.bonds)


def _sampled(left: Side, right: Side, best: int) -> Iterator[Conditional]:
    """Yield equality in expectation over the policy's samples, where these are not what every update sees."""
    if best < VERDICTS.index("undecided") or _sampling(left, right) == "each_update":
        return
    found = _on_policy(left, right)
    if found is not None:
        yield Conditional(
            "equal_in_expectation", (found.words,), found.factor, None, _enumerated(found), found.formula
        )


def _labelled(left: Side, right: Side, best: int) -> Iterator[Conditional]:
    """Yield equality in expectation over labelled pairs, where one of the two reads rewards or win rates."""
    names = {n.name for n in inputs(left.root, right.root) if isinstance(n, Column)}
    if best < VERDICTS.index("undecided") or left.responses != PAIR:
        return
    if not names & {"reward", "win_rate"}:
        return
    found = expected_factor(left, right, LABELLED, None)
    if found is not None:
        yield Conditional("equal_in_expectation", (LABELLED.words,), found.factor, None, (ENUMERATED,))

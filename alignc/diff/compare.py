"""Compare the meaning of two specs."""

from __future__ import annotations

import time
from collections.abc import Iterator

from alignc.contract.needs import LossNeeds
from alignc.contract.responses import PAIR
from alignc.diff.changes import changes
from alignc.diff.conditions import Condition, applied, candidates, combined
from alignc.diff.decide import Proof, decide, decide_gradient, is_coupled
from alignc.diff.expectation import LAWS, expected_ratio, of_any_group
from alignc.diff.model import VERDICTS, Conditional, Difference, Verdict, Witness
from alignc.diff.separate import agree, separation, witness
from alignc.diff.sides import Side, aligned, side_of
from alignc.graph.nodes import Column
from alignc.graph.rewrite import inputs
from alignc.load.load import Loaded
from alignc.lower.loss import Loss

__all__ = ["Spec", "compare"]

Spec = tuple[Loaded, Loss, LossNeeds]
SECONDS = 1.5
"""Time for conditions of two parts; each by itself is always tried."""

UNDECIDED = (
    "undecided: no proof and no separating point was found, and both losses agree at each tested point"
)
APART = "the losses read rows of different shapes, and no row has both shapes"


def compare(a: Spec, b: Spec) -> Difference:
    """Find the strongest equality of two objectives that holds for all inputs, what proves it, and what changes."""
    changed = changes(a, b)
    shaped = aligned(side_of(a[0], a[1]), side_of(b[0], b[1]))
    if shaped is None:
        return Difference("different", None, None, (APART,), (), changed, (), None)
    left, right, shape = shaped
    found = _unconditional((left, right), (a[1], b[1]))
    conditional = tuple(_conditional(left, right, found.verdict))
    return Difference(
        found.verdict,
        found.factor,
        found.constant,
        (*shape, *found.conditions),
        conditional,
        changed,
        found.trace,
        found.witness,
    )


def _unconditional(both: tuple[Side, Side], losses: tuple[Loss, Loss]) -> Difference:
    proof = decide(*both, {})
    if proof is not None:
        return _result(proof.verdict, proof, None)
    coupled = any(is_coupled(s.root) for s in both)
    point = separation(*both, coupled)
    if point is None:
        return Difference("equal_in_expectation", None, None, (UNDECIDED,), (), (), (), None)
    apart = witness(point, both, losses, coupled)
    return _on_policy(*both, apart) or _result("different", None, apart)


def _result(verdict: Verdict, proof: Proof | None, apart: Witness | None) -> Difference:
    if proof is None:
        return Difference(verdict, None, None, (), (), (), (), apart)
    return Difference(verdict, proof.factor, proof.constant, (), (), (), proof.trace, apart)


def _on_policy(left: Side, right: Side, apart: Witness) -> Difference | None:
    law = LAWS[0]
    factor = expected_ratio(left, right, law)
    if factor is None:
        return None
    words = law.words if of_any_group(left, right, law, factor) else f"{law.words}, three to a prompt"
    trace = (f"{words}: ∇A = {factor:.12g}·∇B", ENUMERATED, N7)
    return Difference("equal_in_expectation", factor, None, (words,), (), (), trace, apart)


ENUMERATED = "checked by enumerating every sample of five random tabular policies of four responses"
N7 = "rule: E_π[c·∇log π(y)] = 0 for c free of y"


def _conditional(left: Side, right: Side, verdict: Verdict) -> Iterator[Conditional]:
    """Yield what holds under conditions and is stronger than the verdict; no condition that is more than is needed."""
    best = VERDICTS.index(verdict)
    single = candidates(left, right)
    proved: list[tuple[Condition, int]] = []
    deadline = time.monotonic() + SECONDS
    for condition in _tried(single, proved):
        if time.monotonic() > deadline and condition not in single:
            break
        proof = _under(condition, left, right)
        rank = VERDICTS.index(proof.verdict) if proof else len(VERDICTS)
        if proof is None or rank >= best or _weaker(condition, rank, proved):
            continue
        proved.append((condition, rank))
        yield Conditional(
            proof.verdict, tuple(condition.words.split("; ")), proof.factor, proof.constant, proof.trace
        )
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
    if a is None or b is None or not agree(a, b, condition.bonds):
        return None
    if condition.gradient_only:
        return decide_gradient(a, b, condition.bonds)
    return decide(a, b, condition.bonds)


def _labelled(left: Side, right: Side, best: int) -> Iterator[Conditional]:
    """Yield equality in expectation over labelled pairs, where one of the two reads rewards or win rates."""
    law = LAWS[1]
    names = {n.name for n in inputs(left.root, right.root) if isinstance(n, Column)}
    if best < VERDICTS.index("different") or left.responses != PAIR:
        return
    if not names & {"reward", "win_rate"}:
        return
    factor = expected_ratio(left, right, law)
    if factor is not None:
        yield Conditional("equal_in_expectation", (law.words,), factor, None, (ENUMERATED,))

"""Losses that compare rows by rank over the batch: what of them can be enumerated, and what is not claimed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from alignc.contract.models import POLICY
from alignc.graph.evaluate import evaluate
from alignc.graph.nodes import Column, Logp, Matched, Node
from alignc.graph.rewrite import inputs, substitute
from alignc.graph.walk import walk
from alignc.lower.loss import Loss
from alignc.verify.report import Claim, Verdict, judged
from alignc.verify.rows import rows_of_data
from alignc.verify.toy import Array, Reading, Row, Rows, Toy, log_softmax

__all__ = ["by_rank", "ranked"]


def ranked(loss: Loss) -> bool:
    """Tell whether a loss sorts its rows."""
    return any(isinstance(n, Matched) for n in walk(loss.root))


def by_rank(loss: Loss, toy: Toy) -> Iterator[Claim]:
    """Let references change places among the rows of a batch: a loss by rank must not notice, its rows must."""
    words = "no claim: a row is compared with the row of the same rank, so the loss has no optimal policy of its own"
    yield Claim("optimum", words, "", None, Verdict.TOLD)
    toy = replace(
        toy, lengths=(max(toy.lengths),) * toy.size
    )  # a reference's tokens stand beside any response's
    rows = rows_of_data(loss, toy)
    policy = log_softmax(toy.sampler + toy.rewards)
    whole, swapped = (_value(loss.root, toy, policy, rows, places) for places in (rows, rows[::-1]))
    yield _exchanged(loss, abs(whole - swapped), abs(whole))
    alike = _value(loss.root, toy, toy.reference, rows, rows)
    moved = _value(loss.root, toy, policy, rows, rows)
    shown = f"{alike:.9g} at the reference, {moved:.9g} at another policy"
    says = "a policy with other sorted differences has another loss"
    seen = abs(alike - moved) > 1e-13 * abs(alike)
    yield Claim("rank", says, shown, None, Verdict.HOLDS if seen else Verdict.UNDECIDED)


def _exchanged(loss: Loss, gap: float, size: float) -> Claim:
    says = "the loss does not change if the rows of a batch exchange their references"
    if not np.isfinite(gap) or (ranked(loss) and _reads_its_own(loss)):
        found = "no claim: a row also reads the reference of its own"
        return Claim("rank", says, found, gap if np.isfinite(gap) else None, Verdict.UNDECIDED)
    return Claim("rank", says, "", gap, judged(gap < 1e-9 * max(1.0, size)))


def _reads_its_own(loss: Loss) -> bool:
    """Tell whether another model's log-probabilities are read outside of what is sorted."""
    sorted_ones = [n for n in walk(loss.root) if isinstance(n, Matched)]
    swapped: dict[Node, Node] = {
        n: Column(f"sorted {i}", None, n.type.unit) for i, n in enumerate(sorted_ones)
    }
    left = inputs(substitute(loss.root, swapped))
    mixed = any(
        len({leaf.model == POLICY for leaf in inputs(n.argument) if isinstance(leaf, Logp)}) > 1
        for n in sorted_ones
    )
    return mixed or any(isinstance(n, Logp) and n.model != POLICY for n in left)


def _value(root: Node, toy: Toy, policy: Array, rows: Sequence[Row], places: Sequence[Row]) -> float:
    """Evaluate the loss on one batch of all rows; the reference's values are those of `places`."""
    theta = np.concatenate([policy, np.zeros(toy.size + 1)])
    given: dict[Node, object] = {}
    for leaf in inputs(root):
        own = rows if not isinstance(leaf, Logp) or leaf.model == POLICY else places
        given[leaf] = Rows(toy, own).listed(leaf, Reading(toy, theta, theta))
    return float(evaluate(root, given))

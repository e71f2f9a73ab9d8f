"""A loss on random batches: its value, and its derivatives by central differences."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

from alignc.claims.model import Outcome, Verdict
from alignc.claims.numbers import Given, draw
from alignc.graph.evaluate import evaluate
from alignc.graph.nodes import Matched, Node, Running, Stop
from alignc.graph.walk import walk
from alignc.lower.loss import Loss

__all__ = ["Place", "Trial", "places", "trials", "within"]

Place = tuple[int, ...]
"""The way to a number in nested lists: row, member of a group, token."""


class Trial:
    """A loss on one batch; what no gradient passes is held at its value there."""

    def __init__(self, root: Node, given: Given) -> None:
        self.root, self.given = root, given
        stopped = [n for n in walk(root) if isinstance(n, Stop | Running | Matched)]
        self.held: dict[Node, Any] = {n: evaluate(n, given) for n in stopped}

    def value(self, changed: Given | None = None) -> float:
        """Compute the loss, with some inputs changed."""
        return float(evaluate(self.root, {**self.given, **(changed or {})}, self.held))

    def slope(self, leaf: Node, place: Place, step: float = 1e-5) -> float:
        """Differentiate the loss by one number."""
        up, down = (self.value({leaf: moved(self.given[leaf], place, side * step)}) for side in (1, -1))
        return (up - down) / (2 * step)

    def one_sided(self, leaf: Node, place: Place, side: int, step: float = 1e-6) -> float:
        """Differentiate the loss by one number, on one side of it."""
        up = self.value({leaf: moved(self.given[leaf], place, side * step)})
        return side * (up - self.value()) / step


def moved(value: Any, place: Place, step: float) -> Any:
    """Add a step to one number in nested lists."""
    if not place:
        return value + step
    first, *rest = place
    return [moved(v, tuple(rest), step) if i == first else v for i, v in enumerate(value)]


def places(value: Any) -> Iterator[Place]:
    """List the way to every number."""
    if not isinstance(value, list):
        yield ()
        return
    for i, inner in enumerate(value):
        yield from ((i, *rest) for rest in places(inner))


def trials(
    loss: Loss,
    seed: int,
    count: int = 3,
    *,
    extra: tuple[Node, ...] = (),
    spread: float = 1.0,
    start: bool = False,
) -> Iterator[Trial]:
    """Draw batches for a loss, and for other graphs beside it."""
    rng = random.Random(seed)
    for i in range(count):
        given = draw(rng, (loss.root, *extra), rows=2 + i % 2, group=2 + i % 2, spread=spread, start=start)
        yield Trial(loss.root, given)


def within(gap: float, limit: float, evidence: str = "") -> Verdict:
    """Let a claim hold if the largest difference is below a limit; numbers that leave float64 decide nothing."""
    if not math.isfinite(gap):
        return Verdict(Outcome.UNDECIDED, "the numbers leave float64", None)
    return Verdict(Outcome.HOLDS if gap < limit else Outcome.REFUTED, evidence, gap)

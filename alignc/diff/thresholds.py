"""Points where functions change: on either side of every kink, at each function's turn, and far out in the tails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from alignc.diff.atoms import atom_name
from alignc.diff.sample import Batch, values
from alignc.graph.build import subtract
from alignc.graph.evaluate import evaluate
from alignc.graph.nodes import Apply, Logp, Node
from alignc.graph.types import GraphTypeError
from alignc.graph.walk import walk

__all__ = ["beyond", "thresholds"]

FAR = (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 20_000.0)
"""The sizes of log-probabilities that are tried, in nat."""
TAILS = (0.05, 30.0, 300.0, 3000.0)
MOST = 12
"""The thresholds that are looked at."""


def thresholds(*roots: Node) -> list[Node]:
    """List the quantities whose sign decides which piece of a function holds.

    Of max(0, x), |x| and smooth functions it is x itself; of min, max, clip and comparisons it is a difference.
    """
    found: dict[Node, None] = {}
    for node in walk(*roots):
        if isinstance(node, Apply):
            found.update(dict.fromkeys(d for d in _deciding(node) if d.type.trained))
    return list(found)[:MOST]


def _deciding(node: Apply) -> Iterator[Node]:
    first, *others = node.arguments
    if not others:
        yield first
    for other in others:
        try:
            yield subtract(first, other)
        except GraphTypeError:
            continue


def beyond(roots: Sequence[Node], leaves: Sequence[Node], base: Batch) -> Iterator[Batch]:
    """Move one log-probability of the base point at a time: past each threshold, then into the tails."""
    atoms = list(dict.fromkeys(atom_name(n) for n in leaves if isinstance(n, Logp)))
    for threshold in thresholds(*roots):
        for atom in atoms:
            yield from _crossed(threshold, atom, base)
    for size in TAILS:
        for atom in atoms:
            yield _moved(base, atom, -size)


def _moved(base: Batch, atom: str, to: float) -> Batch:
    """Set a log-probability in every row; of a group, that of the first response."""
    rows = tuple(
        {n: (round(to, 6) if n in (atom, f"{atom}#0") else v) for n, v in row.items()} for row in base.rows
    )
    return replace(base, rows=rows)


def _crossed(threshold: Node, atom: str, base: Batch) -> Iterator[Batch]:
    """Find where the threshold changes its sign along the log-probability, and step to both sides of it."""
    before: tuple[float, list[bool]] | None = None
    for size in FAR:
        signs = _signs(threshold, _moved(base, atom, -size))
        if before is not None and len(before[1]) == len(signs):
            place = next((i for i, (x, y) in enumerate(zip(before[1], signs, strict=True)) if x != y), None)
            if place is not None:
                low = _bisected(threshold, atom, base, (before[0], size), place)
                yield _moved(base, atom, -low * 0.98)
                yield _moved(base, atom, -low * 1.02)
                return
        before = (size, signs)


def _bisected(threshold: Node, atom: str, base: Batch, between: tuple[float, float], place: int) -> float:
    low, high = between
    start = _signs(threshold, _moved(base, atom, -low))[place]
    for _ in range(16):
        middle = (low + high) / 2
        if _signs(threshold, _moved(base, atom, -middle))[place] == start:
            low = middle
        else:
            high = middle
    return high


def _signs(threshold: Node, at: Batch) -> list[bool]:
    return [x > 0 for x in _flat(evaluate(threshold, values([threshold], at)))]


def _flat(value: Any) -> Iterator[float]:
    if isinstance(value, list):
        for inner in value:
            yield from _flat(inner)
    else:
        yield value

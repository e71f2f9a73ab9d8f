"""Look for a point that separates two losses: where no positive factor makes one gradient the other."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from math import isfinite, isnan
from statistics import median
from typing import Any

from alignc.diff.atoms import Bonds, atom_name
from alignc.diff.decide import trained_leaves
from alignc.diff.sample import Batch, batch, gradients
from alignc.diff.sides import Side, by_row
from alignc.diff.thresholds import beyond
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Node
from alignc.graph.rewrite import inputs

__all__ = ["EXACT", "Agreement", "Separation", "agree", "separation"]

SEED, ROWS = 20240501, 3
SCALES = (0.3, 1.0, 3.0, 10.0)
TRIES = 3
TOLERANCE, FLOOR = 1e-8, 1e-6
"""In float64, where points are only looked for."""
EXACT = Decimal("1e-25")
"""In 60 digits, where they are decided: two factors are one if they differ by less than this part."""
MOST_POINTS = 90


@dataclass(frozen=True)
class Separation:
    """Batches whose gradients no single factor relates."""

    at: tuple[Batch, ...]
    leaves: tuple[Node, ...]
    slopes: tuple[tuple[Node, ...], tuple[Node, ...]]


@dataclass(frozen=True)
class Agreement:
    """No separating point was found: how many points were tried."""

    points: int


@dataclass(frozen=True)
class _Pair:
    """Both gradients, ready to be evaluated."""

    sides: tuple[Side, Side]
    leaves: tuple[Node, ...]
    slopes: tuple[tuple[Node, ...], tuple[Node, ...]]

    def at(self, point: Batch, *, precise: bool = False) -> _Seen:
        mine, theirs = (gradients(s, self.leaves, point, precise=precise) for s in self.slopes)
        return _Seen(point, mine, theirs)


@dataclass(frozen=True)
class _Seen:
    """A point and both gradients there."""

    at: Batch
    a: list[Any]
    b: list[Any]

    def finite(self) -> bool:
        """Tell whether both losses have a gradient here."""
        return all(map(isfinite, (*self.a, *self.b)))


def _pair(a: Side, b: Side, bonds: Bonds, rows: int) -> _Pair:
    leaves = tuple(sorted(trained_leaves((a, b), bonds), key=atom_name))
    return _Pair((a, b), leaves, (_slopes(a.root, leaves, rows), _slopes(b.root, leaves, rows)))


@lru_cache(maxsize=64)
def _slopes(root: Node, leaves: tuple[Node, ...], rows: int) -> tuple[Node, ...]:
    share = by_row(root, rows)
    return tuple(gradient(share, leaf) for leaf in leaves)


def _points(pair: _Pair, bonds: Bonds, sizes: Sequence[int], tries: int) -> Iterator[Batch]:
    nodes = inputs(pair.sides[0].root, pair.sides[1].root)
    rng = random.Random(SEED)
    for _ in range(tries):
        for scale in SCALES:
            yield batch(rng, nodes, bonds, sizes=sizes, scale=scale)


def _sizes(rows: int, group: int | None) -> tuple[int, ...]:
    """Give each row's group a size: the spec's own, or two and three."""
    return tuple(group or 2 + i % 2 for i in range(rows))


def agree(a: Side, b: Side, bonds: Bonds, group: int | None = None) -> bool:
    """Tell whether no sampled point separates the two; neither may be flat at all of them."""
    pair = _pair(a, b, bonds, ROWS)
    left: list[float] = []
    right: list[float] = []
    for point in _points(pair, bonds, _sizes(ROWS, group), 1):
        seen = pair.at(point)
        left, right = [*left, *seen.a], [*right, *seen.b]
        if not proportional(left, right):
            return False
    return any(left) and any(right)


def separation(a: Side, b: Side, coupled: bool, group: int | None = None) -> Separation | Agreement:
    """Find rows that separate: one if it can, else two; a batch where rows depend on each other.

    Ordinary points are tried first. Then each function is looked at where it changes, and in its tails.
    """
    rows = ROWS if coupled else 1
    pair = _pair(a, b, {}, rows)
    plain = list(_points(pair, {}, _sizes(rows, group), TRIES))
    near = _parted(pair, [s for p in plain if (s := pair.at(p)).finite()])
    if near is not None:
        return near
    far = [
        q
        for p in plain[1:3]
        for q in beyond((a.root, b.root, *pair.slopes[0], *pair.slopes[1]), pair.leaves, p)
    ]
    every = [*plain, *far][:MOST_POINTS]
    seen = [s for p in every if (s := pair.at(p, precise=True)).finite()]
    return _decided(pair, seen) or Agreement(len(seen))


def _parted(pair: _Pair, seen: list[_Seen]) -> Separation | None:
    """Look for points that float64 tells apart, and confirm those that it finds."""
    floor = (_floor([s.a for s in seen]), _floor([s.b for s in seen]))
    pairs = ([x, y] for i, x in enumerate(seen) for y in seen[:i])
    for parts in (*([s] for s in seen), *pairs):
        left, right = [x for s in parts for x in s.a], [x for s in parts for x in s.b]
        if not proportional(left, right, floor):
            return _decided(pair, [pair.at(s.at, precise=True) for s in parts])
    return None


def _decided(pair: _Pair, seen: Sequence[_Seen]) -> Separation | None:
    """Find a point, or two, at which no positive factor relates the gradients, in 60 digits."""
    first: tuple[_Seen, Any] | None = None
    for one in seen:
        factor = _factor(one)
        if factor == "apart":
            return Separation((one.at,), pair.leaves, pair.slopes)
        if factor is None:
            continue
        if first is not None and abs(factor - first[1]) > EXACT * abs(first[1]):
            return Separation((first[0].at, one.at), pair.leaves, pair.slopes)
        first = first or (one, factor)
    return None


def _factor(seen: _Seen) -> Any:
    """Find the factor between the gradients at a point; None if both vanish, `apart` if there is none."""
    room = [EXACT * max(map(abs, xs), default=0) for xs in (seen.a, seen.b)]
    if room[0] == 0 or room[1] == 0:
        return None if room[0] == room[1] else "apart"
    place = max(range(len(seen.b)), key=lambda i: abs(seen.b[i]))
    factor = seen.a[place] / seen.b[place]
    if factor <= 0:
        return "apart"
    fits = all(abs(x - factor * y) <= 4 * room[0] for x, y in zip(seen.a, seen.b, strict=True))
    return factor if fits else "apart"


def _floor(gradients: Sequence[Sequence[float]]) -> float:
    """Find the size below which rounding may have made a gradient what it is."""
    sizes = [max(map(abs, g), default=0.0) for g in gradients]
    return FLOOR * median([s for s in sizes if s] or [0.0])


def proportional(
    left: Sequence[float], right: Sequence[float], floor: tuple[float, float] = (0.0, 0.0)
) -> bool:
    """Tell whether one list is a positive multiple of the other, but for rounding; two zeros are."""
    left, right = (
        [0.0 if abs(x) < least else x for x in xs] for xs, least in zip((left, right), floor, strict=True)
    )
    if not any(left) or not any(right):
        return not any(left) and not any(right)
    place = max(range(len(right)), key=lambda i: -1.0 if isnan(right[i]) else abs(right[i]))
    if right[place] == 0 or not isfinite(right[place]):
        return False
    factor = left[place] / right[place]
    if not factor > 0:
        return False
    room = 3 * max(floor[0], factor * floor[1])
    return all(
        abs(x - factor * y) <= TOLERANCE * (abs(x) + abs(factor * y)) + room
        for x, y in zip(left, right, strict=True)
    )

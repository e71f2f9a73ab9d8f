"""Look for a point that separates two losses: where no positive factor makes one gradient the other."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import Any

from alignc.contract.models import MODELS
from alignc.contract.outputs import OUTPUTS, Per, by_token
from alignc.contract.responses import CHOSEN, COMPLETION, COMPLETIONS, GROUP, REJECTED, SINGLE
from alignc.diff.atoms import Bonds, atom_name
from alignc.diff.decide import trained_leaves
from alignc.diff.model import Witness
from alignc.diff.sample import Batch, Row, batch, gradients, spread_tokens, values
from alignc.diff.sides import Side, by_row
from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Column, Length, Logp, Node, Output, Position
from alignc.graph.rewrite import inputs
from alignc.graph.walk import walk
from alignc.lower.loss import Loss, alone
from alignc.point.evaluate import at_point
from alignc.point.reading import bends, logp_key

__all__ = ["Separation", "agree", "separation", "witness"]

SEED, ROWS = 20240501, 3
SCALES = (0.3, 1.0, 3.0, 10.0)
TRIES = 3
TOLERANCE, FLOOR = 1e-8, 1e-6


@dataclass(frozen=True)
class Separation:
    """Batches whose gradients no single factor relates."""

    at: tuple[Batch, ...]
    leaves: tuple[Node, ...]
    slopes: tuple[tuple[Node, ...], tuple[Node, ...]]


@dataclass(frozen=True)
class _Pair:
    """Both gradients, ready to be evaluated."""

    sides: tuple[Side, Side]
    leaves: tuple[Node, ...]
    slopes: tuple[tuple[Node, ...], tuple[Node, ...]]

    def at(self, point: Batch) -> tuple[list[float], list[float]]:
        return gradients(self.slopes[0], self.leaves, point), gradients(self.slopes[1], self.leaves, point)


def _pair(a: Side, b: Side, bonds: Bonds, rows: int) -> _Pair:
    leaves = tuple(trained_leaves((a, b), bonds))
    return _Pair((a, b), leaves, (_slopes(a.root, leaves, rows), _slopes(b.root, leaves, rows)))


@lru_cache(maxsize=64)
def _slopes(root: Node, leaves: tuple[Node, ...], rows: int) -> tuple[Node, ...]:
    share = by_row(root, rows)
    return tuple(gradient(share, leaf) for leaf in leaves)


def _points(pair: _Pair, bonds: Bonds, rows: int, tries: int) -> Iterator[Batch]:
    nodes = inputs(pair.sides[0].root, pair.sides[1].root)
    rng = random.Random(SEED)
    for _ in range(tries):
        for scale in SCALES:
            yield batch(rng, nodes, bonds, size=rows, scale=scale)


def agree(a: Side, b: Side, bonds: Bonds, tries: int = 1) -> bool:
    """Tell whether no sampled point separates the two; neither may be flat at all of them."""
    pair = _pair(a, b, bonds, ROWS)
    left: list[float] = []
    right: list[float] = []
    for point in _points(pair, bonds, ROWS, tries):
        mine, theirs = pair.at(point)
        left, right = [*left, *mine], [*right, *theirs]
        if not proportional(left, right):
            return False
    return any(left) and any(right)


def separation(a: Side, b: Side, coupled: bool) -> Separation | None:
    """Find rows that separate: one if it can, else two; a batch where rows depend on each other."""
    pair = _pair(a, b, {}, ROWS if coupled else 1)
    seen = [_Seen(p, *pair.at(p)) for p in _points(pair, {}, ROWS if coupled else 1, TRIES)]
    seen = [s for s in seen if all(map(math.isfinite, (*s.a, *s.b)))]
    floor = (_floor([s.a for s in seen]), _floor([s.b for s in seen]))
    pairs = ([x, y] for i, x in enumerate(seen) for y in seen[:i])
    for parts in (*([s] for s in seen), *pairs):
        left, right = [x for s in parts for x in s.a], [x for s in parts for x in s.b]
        if not proportional(left, right, floor):
            return Separation(tuple(s.at for s in parts), pair.leaves, pair.slopes)
    return None


@dataclass(frozen=True)
class _Seen:
    """A point and both gradients there."""

    at: Batch
    a: list[float]
    b: list[float]


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
    place = max(range(len(right)), key=lambda i: abs(right[i]))
    factor = left[place] / right[place]
    if factor <= 0:
        return False
    room = 3 * max(floor[0], factor * floor[1])
    return all(
        abs(x - factor * y) <= TOLERANCE * (abs(x) + abs(factor * y)) + room
        for x, y in zip(left, right, strict=True)
    )


def witness(found: Separation, sides: tuple[Side, Side], losses: tuple[Loss, Loss], coupled: bool) -> Witness:
    """Show a separation as points that `explain --at` takes, and what it answers; a coupled batch as a whole."""
    shown = []
    for side, loss, slopes in zip(sides, losses, found.slopes, strict=True):
        point = _point(found, side, loss)
        shown.append(
            _batches(found, side, slopes, point) if coupled else {"point": point, **_answer(loss, point)}
        )
    count = "one point" if len(found.at) == 1 else "two points"
    words = f"at {count} no positive factor turns the gradient of A into the gradient of B"
    return Witness(words if not coupled else words.replace("point", "batch"), *shown)


def _answer(loss: Loss, point: dict[str, Any]) -> dict[str, Any]:
    done = at_point(loss, point)["examples"]
    return {"loss": [e["loss"] for e in done], "gradient": [e["gradient"] for e in done]}


def _batches(found: Separation, side: Side, slopes: Sequence[Node], point: dict[str, Any]) -> dict[str, Any]:
    """Evaluate batches whose rows depend on each other: losses, and by response the gradient of every row."""
    losses = [float(evaluate(side.root, values([side.root], at))) for at in found.at]
    rows = [
        {atom_name(x): evaluate(s, values([s], at)) for x, s in zip(found.leaves, slopes, strict=True)}
        for at in found.at
    ]
    return {"point": point, "loss": losses, "gradient": rows}


def _point(found: Separation, side: Side, loss: Loss) -> dict[str, Any]:
    own = loss.view.responses
    rows = [(row, k) for at in found.at for row, k in zip(at.rows, at.sizes, strict=True)]
    tokens = any(isinstance(n, Position) or _is_logarithm(n) for n in inputs(side.root))
    tokens = tokens or any(map(bends, walk(alone(loss.root))))
    point: dict[str, Any] = {"examples": [e for row, k in rows for e in _examples(row, k, side, own, tokens)]}
    z0 = next((row[n] for row, _ in rows for n in ("z0", "delta") if n in row), None)
    return point if z0 is None else {**point, "z0": z0}


def _is_logarithm(node: Node) -> bool:
    return isinstance(node, Output) and OUTPUTS[node.quantity].logarithm


def _examples(row: Row, k: int, side: Side, own: tuple[str, ...], tokens: bool) -> list[dict[str, Any]]:
    """Write a row as an example of the spec's own shape."""

    def response(suffix: str, member: str = "") -> dict[str, Any]:
        return _response(row, suffix, member, side, tokens)

    if own == GROUP:
        members = (
            [response("i", f"#{i}") for i in range(k)] if own == side.responses else [*map(response, "wl")]
        )
        return [{COMPLETIONS: members}]
    if own == side.responses == SINGLE:
        return [{COMPLETION: response("y"), **_row_values(row)}]
    if own == SINGLE and side.responses == GROUP:
        return [{COMPLETION: response("i", f"#{i}")} for i in range(k)]
    if own == SINGLE:
        return [{COMPLETION: response(y), "label": y == "w"} for y in "wl"]
    return [{CHOSEN: response("w"), REJECTED: response("l"), **_row_values(row)}]


def _row_values(row: Row) -> dict[str, Any]:
    found: dict[str, Any] = {"label": bool(row["label"])} if "label" in row else {}
    return {**found, "margin": row["margin"]} if "margin" in row else found


def _response(row: Row, suffix: str, member: str, side: Side, tokens: bool) -> dict[str, Any]:
    known = {
        atom_name(n): key
        for n in inputs(side.root)
        if (key := _key(n, side.models)) and atom_name(n)[-2:] == f"_{suffix}"
    }
    count = int(row.get(f"n_{suffix}{member}", 1))
    found: dict[str, Any] = {}
    for name, key in known.items():
        number = row[name + member]
        found[key] = (
            [round(x, 4) for x in spread_tokens(number, count)] if tokens and key in BY_TOKEN else number
        )
    return {**found, "value": row["V"]} if "V" in row else found


def _key(node: Node, models: Mapping[str, str]) -> str:
    """Name an input as `--at` does."""
    match node:
        case Logp(model=model):
            return logp_key(models.get(model, model))
        case Length():
            return "length"
        case Output(quantity=quantity):
            return "" if OUTPUTS[quantity].per == Per.PROMPT else OUTPUTS[quantity].at
        case Column(name=name):
            return name
    return ""


BY_TOKEN = (
    *(row.at for row in MODELS.values()),
    *(row.at for row in by_token()),
    *(row.stored for row in by_token() if row.stored),
)

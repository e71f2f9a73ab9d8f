"""Random batches: numbers for every input of a loss, that could be those of a real batch."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from alignc.claims.slopes import ROWS
from alignc.contract.models import POLICY, is_other
from alignc.contract.outputs import Quantity
from alignc.contract.responses import COMPLETIONS
from alignc.graph.nodes import Column, GroupSize, Length, Logp, Node, Output, Position, is_divergence
from alignc.graph.rewrite import inputs

__all__ = ["Batch", "Given", "draw", "flat"]

Given = dict[Node, Any]


@dataclass(frozen=True)
class Batch:
    """The shape of a batch: the tokens of each response of each row; a group has several responses."""

    rows: int
    lengths: Mapping[str, Any]
    """By response: a number a row, or a list of numbers a row."""


def draw(
    rng: random.Random,
    roots: tuple[Node, ...],
    *,
    rows: int = 4,
    group: int = 3,
    spread: float = 1.0,
    start: bool = False,
) -> Given:
    """Draw numbers for the inputs of graphs. At the `start`, each known model is the policy itself.

    `spread` is the distance of the policy from the other models, in nat per token.
    """
    leaves = [n for n in inputs(*roots) if n is not ROWS]
    names = sorted({r for n in leaves if (r := getattr(n, "response", None))})
    lengths = {r: _lengths(rng, rows, group if r == COMPLETIONS else 0) for r in names}
    likely = {r: _each(lengths[r], lambda n: _tokens(rng, n, spread)) for r in names}
    found: Given = {ROWS: float(rows)}
    for leaf in leaves:
        found[leaf] = _leaf(leaf, rng, Batch(rows, lengths), likely, group, spread=spread, start=start)
    return found


def _lengths(rng: random.Random, rows: int, group: int) -> list[Any]:
    def one() -> int:
        return rng.randint(2, 5)

    return [[one() for _ in range(group)] if group else one() for _ in range(rows)]


def _tokens(rng: random.Random, count: int, spread: float) -> list[float]:
    wide = rng.uniform(0, 0.3 * spread) if spread > 1 else 0.0
    return [-rng.uniform(0.3, 2.0) - wide for _ in range(count)]


def _each(lengths: list[Any], make: Callable[[int], Any]) -> list[Any]:
    return [[make(n) for n in row] if isinstance(row, list) else make(row) for row in lengths]


def _moved(rng: random.Random, tokens: Any, spread: float) -> Any:
    """Move log-probabilities, and keep them below 0."""
    if isinstance(tokens, list):
        return [_moved(rng, t, spread) for t in tokens]
    return min(-1e-3, tokens + rng.gauss(0, 0.3 * spread))


def _leaf(
    leaf: Node,
    rng: random.Random,
    batch: Batch,
    likely: Mapping[str, list[Any]],
    group: int,
    *,
    spread: float,
    start: bool,
) -> Any:
    match leaf:
        case Logp(model=model, response=response):
            own = model == POLICY or (start and not is_other(model))
            return likely[response] if own else _moved(rng, likely[response], spread)
        case Length(response=response):
            return _each(batch.lengths[response], float)
        case Position(response=response):
            return _each(batch.lengths[response], lambda n: [float(t + 1) for t in range(n)])
        case GroupSize():
            return [float(group)] * batch.rows
    make = _number(leaf, rng, start=start)
    part = getattr(leaf, "response", None)
    if part is None or (isinstance(leaf, Output) and leaf.quantity == Quantity.VALUE):
        return [make() for _ in range(batch.rows)]
    if leaf.type.axis.by_token:
        return _each(batch.lengths[part], lambda n: [make() for _ in range(n)])
    return _each(batch.lengths[part], lambda n: make())


def _number(leaf: Node, rng: random.Random, *, start: bool) -> Callable[[], float]:
    if is_divergence(leaf):
        return (lambda: 0.0) if start else (lambda: rng.uniform(0, 1))
    match leaf:
        case Output(quantity=Quantity.LOG_SUM_SQUARES):
            return lambda: -rng.uniform(0.1, 2)
        case Output(quantity=Quantity.ENTROPY):
            return lambda: rng.uniform(0, 2)
        case Output(quantity=Quantity.VALUE | Quantity.TOKEN_VALUE | Quantity.SCORE):
            return lambda: rng.gauss(0, 1)
        case Column(name="label"):
            return lambda: float(rng.random() < 0.5)
        case Column(name=name, unit=unit) if name == "win_rate" or "probability" in str(unit):
            return lambda: rng.uniform(0.05, 0.95)
        case Column():
            return lambda: rng.gauss(0, 1)
    raise TypeError(f"no numbers for {type(leaf).__name__}")


def flat(value: Any) -> list[float]:
    """List the numbers in nested lists."""
    return [x for inner in value for x in flat(inner)] if isinstance(value, list) else [float(value)]

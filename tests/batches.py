"""Random batches: ragged numbers for the evaluator, and the same as padded tensors for an emitted `loss.py`."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

from alignc.api import Compiled
from alignc.graph.nodes import Column, GroupSize, Length, Logp, Node, Output, Position
from alignc.graph.rewrite import inputs
from alignc.graph.types import token_axis

__all__ = ["Numbers", "given", "numbers", "totals"]

Numbers = dict[str, list[Any]]
"""By the keys of `loss.py`'s batch: a list over rows of numbers, of tokens, or of responses of tokens."""


def _tokens(rng: random.Random, length: int, near: list[float] | None = None) -> list[float]:
    if near is None:
        return [-rng.expovariate(0.7) - 1e-3 for _ in range(length)]
    return [min(-1e-6, p + rng.gauss(0, 0.3)) for p in near]


def numbers(rng: random.Random, compiled: Compiled, rows: int) -> Numbers:
    """Draw a batch for what a job needs."""
    needs, found = compiled.needs, Numbers()
    sizes = [rng.randint(2, 5) for _ in range(rows)]
    for y in needs.responses:
        lengths = [rng.randint(1, 9) for _ in range(rows)]
        grouped = y == "completions"
        first = [
            [_tokens(rng, rng.randint(1, 9)) for _ in range(k)] if grouped else _tokens(rng, n)
            for n, k in zip(lengths, sizes, strict=True)
        ]
        found[f"policy/{y}"] = first
        for model in needs.anchors:
            found[f"{model}/{y}"] = [
                [_tokens(rng, 0, t) for t in row] if grouped else _tokens(rng, 0, row) for row in first
            ]
        for node in inputs(*compiled.loss.outputs):
            if getattr(node, "response", None) == y:
                _others(rng, node, found, first, grouped)
    for node in inputs(*compiled.loss.outputs):
        if isinstance(node, Column) and node.response is None:
            draw = (lambda: float(rng.random() < 0.5)) if node.name == "label" else (lambda: rng.gauss(0, 1))
            found[f"column/{node.name}"] = [draw() for _ in range(rows)]
    if "column/label" in found and rows > 1:
        found["column/label"][:2] = [1.0, 0.0]
    return found


def _others(rng: random.Random, node: Node, found: Numbers, first: list[Any], grouped: bool) -> None:
    """Draw a response's columns, and a model's other outputs."""
    if isinstance(node, Output) and node.quantity == "log_sum_squares":
        found[_key(node)] = [[-rng.expovariate(1.0) for _ in row] for row in first]
    elif by_token(node):
        found[_key(node)] = [[[rng.gauss(0, 1) for _ in y] for y in row] for row in first]
    elif isinstance(node, Output | Column):
        draw = rng.random if getattr(node, "name", "") == "win_rate" else lambda: rng.gauss(0, 1)
        several = grouped and node.type.axis.grouped
        found[_key(node)] = [[draw() for _ in row] if several else draw() for row in first]


def by_token(node: Node) -> bool:
    """Tell the columns and outputs that have one number a token of a group's responses."""
    return node.type.axis == token_axis("completions") and isinstance(node, Output | Column)


def _key(node: Node) -> str:
    match node:
        case Logp(model=model, response=response):
            return f"{model}/{response}"
        case Output(quantity="value"):
            return "value"
        case Output(quantity=quantity, response=response):
            return f"{quantity}/{response}"
        case Column(name=name, response=response):
            return f"column/{name}" + (f"/{response}" if response else "")
    raise TypeError(type(node).__name__)


def given(drawn: Mapping[str, list[Any]], roots: Iterable[Node]) -> dict[Node, Any]:
    """Hand a batch to the evaluator."""
    found: dict[Node, Any] = {}
    for node in inputs(*roots):
        match node:
            case Length(response=y):
                found[node] = _counts(drawn[f"policy/{y}"])
            case Position(response=y):
                found[node] = [[float(i + 1) for i in range(len(row))] for row in drawn[f"policy/{y}"]]
            case GroupSize():
                found[node] = [float(len(row)) for row in drawn["policy/completions"]]
            case _:
                found[node] = drawn[_key(node)]
    return found


def _counts(rows: list[Any]) -> list[Any]:
    return [[float(len(y)) for y in row] if isinstance(row[0], list) else float(len(row)) for row in rows]


def _flat(counts: list[Any]) -> list[float]:
    return [n for count in counts for n in (count if isinstance(count, list) else [count])]


def totals(drawn: Mapping[str, list[Any]], names: Iterable[str]) -> dict[str, float]:
    """Count a global batch as the runtime does, before any forward."""
    found = {}
    for name in names:
        kind, _, of = name.partition("/")
        counted = {
            "rows": lambda: len(next(iter(drawn.values()))),
            "tokens": lambda of=of: sum(sum(_flat(_counts([row]))) for row in drawn[f"policy/{of}"]),
            "column": lambda of=of: sum(drawn[f"column/{of}"]),
        }
        found[name] = float(counted[kind]())
    return found

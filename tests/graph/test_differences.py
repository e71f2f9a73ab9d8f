"""The derived gradient against central differences of the evaluator, stop-gradients held where they stood."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Column, Logp, Node, Output, Running, Stop
from alignc.graph.rewrite import inputs, substitute
from alignc.graph.walk import walk
from alignc.lower.loss import alone

from ..batches import given, numbers
from ..online_variants import METHODS, Online, compiled_online
from ..variants import ALL, Variant, compiled

STEP = 1e-5


def held(root: Node) -> tuple[Node, dict[Node, Node]]:
    """Replace what no gradient passes by inputs of their own, and say which."""
    stops = [n for n in walk(root) if isinstance(n, Stop | Running)]
    freed: dict[Node, Node] = {n: Column(f"held{i}", None, n.type.unit) for i, n in enumerate(stops)}
    return substitute(root, freed), freed


def moved(value: Any, place: tuple[int, ...], by: float) -> Any:
    if not place:
        return value + by
    return [moved(v, place[1:], by) if i == place[0] else v for i, v in enumerate(value)]


def places(value: Any, path: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    if not isinstance(value, list):
        return [path]
    return [p for i, v in enumerate(value) for p in places(v, (*path, i))]


def at(value: Any, place: tuple[int, ...]) -> float:
    for step in place:
        value = value[step] if isinstance(value, list) else value
    return float(value[0] if isinstance(value, list) else value)


def difference(f: Callable[[float], float]) -> float:
    return (f(STEP) - f(-STEP)) / (2 * STEP)


EVERY = [*(v for v in ALL if v.preset != "aot"), *METHODS]


@pytest.mark.parametrize("variant", EVERY, ids=lambda v: v.name)
def test_gradient(variant: Variant | Online) -> None:
    made = compiled_online(variant) if isinstance(variant, Online) else compiled(variant)
    loss = made.loss
    rng = random.Random(variant.name)
    root, freed = held(alone(loss.root))
    tensors = numbers(rng, made, rows=1)
    known = dict(given(tensors, [alone(loss.root)]))
    known |= {new: evaluate(old, known) for old, new in freed.items()}
    known = {n: v if isinstance(v, list) else [v] for n, v in known.items()}
    for node in [n for n in inputs(root) if isinstance(n, Logp | Output) and n.type.trained]:
        slopes = evaluate(gradient(root, node), known)
        for place in rng.sample(all_places := places(known[node]), min(4, len(all_places))):

            def value(by: float, node: Node = node, place: tuple[int, ...] = place) -> float:
                return at(evaluate(root, {**known, node: moved(known[node], place, by)}), (0,))

            assert at(slopes, place) == pytest.approx(difference(value), rel=2e-6, abs=2e-7)

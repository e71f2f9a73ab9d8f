"""Specs of a line, lowered for a comparison."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alignc.diff import Difference, compare
from alignc.diff.compare import Spec
from alignc.load.load import load
from alignc.lower.lower import lower
from alignc.plan import needs
from alignc.point.evaluate import at_point


@cache
def spec(objective: str, data: str = "pairwise", model: str = "policy: a/b") -> Spec:
    """Lower an objective; `dpo, beta: 1` is a preset with its parameters, `{…}` a term."""
    shown = f"terms: [{objective}]" if objective.startswith("{") else f"preset: {objective}"
    with TemporaryDirectory() as folder:
        path = Path(folder, "spec.yaml")
        path.write_text(
            f"version: 1\nobjective: {{{shown}}}\nmodel: {{{model}}}\ndata: {{kind: {data}, source: c/d}}\n"
        )
        loaded = load(path)
    lowered = lower(loaded.lookup)
    return loaded, lowered, needs(lowered, loaded.job)


def diff(a: Spec, b: Spec) -> Difference:
    return compare(a, b)


def at(of: Spec, *examples: dict[str, Any], z0: float = 0.0) -> dict[str, Any]:
    """Evaluate examples as `explain --at` does."""
    return at_point(of[1], {"examples": list(examples), "z0": z0})


def loss(of: Spec, example: dict[str, Any], z0: float = 0.0) -> float:
    value: float = at(of, example, z0=z0)["loss"]
    return value


def slopes(of: Spec, example: dict[str, Any], z0: float = 0.0) -> dict[str, float]:
    """The gradient by response."""
    found = at(of, example, z0=z0)["examples"][0]["gradient"]
    return {y: g["logp"] for y, g in found.items()}


def response(rng: random.Random, **fixed: float) -> dict[str, float]:
    drawn = {
        "logp": rng.uniform(-9, -1),
        "ref_logp": rng.uniform(-9, -1),
        "old_logp": rng.uniform(-9, -1),
        "length": float(rng.randint(2, 9)),
        "reward": rng.uniform(-1, 1),
        "win_rate": rng.uniform(0.1, 0.9),
        "value": 0.3,
    }
    return {**drawn, **fixed}


def pairs(count: int = 5, **fixed: float) -> list[dict[str, Any]]:
    """Draw pairs; `fixed` holds for both responses."""
    rng = random.Random(3)
    return [{y: response(rng, **fixed) for y in ("chosen", "rejected")} for _ in range(count)]


def as_group(pair: dict[str, Any]) -> dict[str, Any]:
    return {"completions": [pair["chosen"], pair["rejected"]]}


def conditional(found: Difference, *words: str) -> Any:
    """Find the conditional verdict whose conditions have these words, each condition one of them."""
    for one in found.conditional:
        if len(one.conditions) == len(words) and all(any(w in c for c in one.conditions) for w in words):
            return one
    raise AssertionError([c.conditions for c in found.conditional])

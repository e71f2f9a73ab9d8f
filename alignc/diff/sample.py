"""Numbers for the atoms: points at which two losses are compared in float64."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alignc.contract.outputs import OUTPUTS
from alignc.contract.responses import COMPLETIONS
from alignc.diff.atoms import SUFFIX, Bonds, atom_name
from alignc.graph.evaluate import evaluate
from alignc.graph.nodes import Column, GroupSize, Logp, Node, Output, Position
from alignc.graph.rewrite import inputs

__all__ = ["Batch", "Row", "batch", "gradients", "spread_tokens", "values"]

Row = Mapping[str, float]
"""The atoms of one row; of a group's response number i they are called `l_i#1` and so on."""

ANY = 1.3
"""What stands for any number."""


@dataclass(frozen=True)
class Batch:
    """Rows, and how many responses a group has in each."""

    rows: tuple[dict[str, float], ...]
    sizes: tuple[int, ...]


def batch(rng: random.Random, nodes: Sequence[Node], bonds: Bonds, *, size: int, scale: float) -> Batch:
    """Draw rows that meet the conditions."""
    sizes = tuple(2 + i % 2 for i in range(size))
    shared: dict[str, float] = {}
    rows = []
    for k in sizes:
        row = {"n": 4.0}
        for node in nodes:
            for name in _names(node, k):
                row[name] = _drawn(rng, node, name, scale, shared)
        rows.append(_bound(row, bonds))
    return Batch(tuple(rows), sizes)


def _names(node: Node, k: int) -> list[str]:
    """Name the atoms of an input in a row; log-probabilities bring their lengths along."""
    names = [atom_name(node)]
    if names == ["V"]:
        return names
    if isinstance(node, Logp | Output | Position):
        names = [f"n_{SUFFIX[node.response]}", *([] if isinstance(node, Position) else names)]
    if getattr(node, "response", None) == COMPLETIONS:
        return [f"{n}#{i}" for n in names for i in range(k)]
    return names


def _drawn(rng: random.Random, node: Node, name: str, scale: float, shared: dict[str, float]) -> float:
    if name.startswith("n_"):
        return float(rng.randint(2, 7))
    if name in ("z0", "delta"):
        return shared.setdefault(name, round(rng.uniform(0, 2), 2))
    if isinstance(node, Logp):
        return round(rng.uniform(-4 * scale, -0.25), 2)
    if isinstance(node, Column) and node.name == "win_rate":
        return round(rng.uniform(0.05, 0.95), 2)
    if isinstance(node, Column) and node.name == "label":
        return float(rng.random() < 0.5)
    if isinstance(node, Output) and OUTPUTS[node.quantity].logarithm:
        return round(rng.uniform(-3, -0.5), 2)
    return round(rng.uniform(-scale, scale), 2)


def _bound(row: dict[str, float], bonds: Bonds) -> dict[str, float]:
    """Make a row meet conditions."""
    done = dict(row)
    for name, bond in bonds.items():
        for own in [n for n in row if n.partition("#")[0] == name]:
            member = own[len(name) :]
            base = 0.0 if bond.to is None else done.get(bond.to + member, 0.0)
            done[own] = float(bond.scale) * (ANY if bond.times else 1) * base + float(bond.offset)
    return done


def values(roots: Sequence[Node], at: Batch) -> dict[Node, Any]:
    """Lay a batch out as the inputs of the graphs."""
    return {n: [_input(n, row, k) for row, k in zip(at.rows, at.sizes, strict=True)] for n in inputs(*roots)}


def _input(node: Node, row: Row, k: int) -> Any:
    if isinstance(node, GroupSize):
        return float(k)
    if getattr(node, "response", None) == COMPLETIONS and atom_name(node) != "V":
        return [_one(node, row, f"#{i}") for i in range(k)]
    return _one(node, row, "")


def _one(node: Node, row: Row, member: str) -> Any:
    name = atom_name(node)
    if isinstance(node, Logp | Position) or (isinstance(node, Output) and OUTPUTS[node.quantity].logarithm):
        count = int(row[f"n_{SUFFIX[node.response]}{member}"])
        if isinstance(node, Position):
            return [float(i + 1) for i in range(count)]
        return spread_tokens(row[name + member], count)
    return row[name + member]


def spread_tokens(total: float, count: int) -> list[float]:
    """Spread a sum over tokens, the later ones with more of it."""
    weight = count * (count + 1) / 2
    return [total * (i + 1) / weight for i in range(count)]


def gradients(slopes: Sequence[Node], leaves: Sequence[Node], at: Batch) -> list[float]:
    """Evaluate derivatives by row, in the shape of what they are taken with respect to.

    One number a response is spread over its tokens; what each response of a group adds to the row's own is summed.
    """
    given = values([*slopes, *leaves], at)
    found: list[float] = []
    for slope, leaf in zip(slopes, leaves, strict=True):
        _flatten(evaluate(slope, given), given[leaf], found)
    return found


def _flatten(value: Any, like: Any, found: list[float]) -> None:
    if not isinstance(like, list):
        found.append(math.fsum(value) if isinstance(value, list) else value)
        return
    for place, inner in enumerate(like):
        _flatten(value[place] if isinstance(value, list) else value, inner, found)

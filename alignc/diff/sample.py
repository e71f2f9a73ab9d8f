"""Numbers for the atoms: points at which two losses are compared in float64."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from alignc.contract.outputs import OUTPUTS, Per
from alignc.contract.responses import COMPLETIONS
from alignc.diff.atoms import SUFFIX, Bonds, atom_name
from alignc.diff.precise import evaluated
from alignc.graph.evaluate import evaluate
from alignc.graph.nodes import Column, GroupSize, Logp, Node, Output, Position
from alignc.graph.rewrite import inputs

__all__ = [
    "Batch",
    "Row",
    "adds_up",
    "batch",
    "by_token",
    "gradients",
    "spread_tokens",
    "values",
    "vary_tokens",
]

Row = Mapping[str, float]
"""The atoms of one row; of a group's response number i they are called `l_i#1` and so on."""

ANY = 1.3
"""What stands for any number."""


@dataclass(frozen=True)
class Batch:
    """Rows, and how many responses a group has in each."""

    rows: tuple[dict[str, float], ...]
    sizes: tuple[int, ...]
    same: Mapping[str, str] = field(default_factory=dict)
    """Atoms whose tokens share out as those of another atom, because a condition makes the two equal."""


def batch(
    rng: random.Random, nodes: Sequence[Node], bonds: Bonds, *, sizes: Sequence[int], scale: float
) -> Batch:
    """Draw rows that meet the conditions, each a group of one of the sizes."""
    shared: dict[str, float] = {}
    rows = []
    ordered = sorted(nodes, key=atom_name)
    for k in sizes:
        row = {"n": 4.0}
        for node in ordered:
            for name in _names(node, k):
                if name not in row:
                    row[name] = _drawn(rng, node, name, scale, shared)
        rows.append(_bound(row, bonds))
    same = {name: bond.to for name, bond in bonds.items() if bond.to is not None}
    return Batch(tuple(rows), tuple(sizes), same)


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
    if isinstance(node, Output) and OUTPUTS[node.quantity].unit == "nat":
        return round(rng.uniform(0.1, scale + 0.1), 2)
    return round(rng.uniform(-scale, scale), 2)


def _bound(row: dict[str, float], bonds: Bonds) -> dict[str, float]:
    """Make a row meet conditions."""
    done = dict(row)
    for name, bond in bonds.items():
        for own in [n for n in row if n.partition("#")[0] == name]:
            member = own[len(name) :]
            base = 0.0 if bond.to is None else done.get(bond.to + member, done.get(bond.to, 0.0))
            done[own] = float(bond.scale) * (ANY if bond.times else 1) * base + float(bond.offset)
    return done


def values(roots: Sequence[Node], at: Batch) -> dict[Node, Any]:
    """Lay a batch out as the inputs of the graphs."""
    return {
        n: [_input(n, row, k, at.same) for row, k in zip(at.rows, at.sizes, strict=True)]
        for n in inputs(*roots)
    }


def _input(node: Node, row: Row, k: int, same: Mapping[str, str]) -> Any:
    if isinstance(node, GroupSize):
        return float(k)
    if getattr(node, "response", None) == COMPLETIONS and atom_name(node) != "V":
        return [_one(node, row, f"#{i}", same) for i in range(k)]
    return _one(node, row, "", same)


def _one(node: Node, row: Row, member: str, same: Mapping[str, str]) -> Any:
    name = atom_name(node)
    if isinstance(node, Position):
        return [float(i + 1) for i in range(_count(node, row, member))]
    if adds_up(node):
        return spread_tokens(row[name + member], _count(node, row, member), same.get(name, name) + member)
    if by_token(node) and (place := f"n_{SUFFIX[node.response]}{member}") in row:  # type: ignore[attr-defined]
        return vary_tokens(row[name + member], int(row[place]), same.get(name, name) + member)
    return row[name + member]


def _count(node: Any, row: Row, member: str) -> int:
    return int(row[f"n_{SUFFIX[node.response]}{member}"])


def adds_up(node: Node) -> bool:
    """Tell whether the number of a response is the sum over its tokens."""
    return isinstance(node, Logp) or (isinstance(node, Output) and OUTPUTS[node.quantity].logarithm)


def by_token(node: Node) -> bool:
    """Tell whether an input has one number for each token, which is no share of a sum."""
    return (isinstance(node, Column) and node.token) or (
        isinstance(node, Output) and OUTPUTS[node.quantity].per == Per.TOKEN and not adds_up(node)
    )


@lru_cache(maxsize=4096)
def _shares(count: int, name: str) -> tuple[float, ...]:
    """Give the tokens of an atom shares with a mean of 1, which differ from atom to atom."""
    rng = random.Random(f"{count} {name}")
    drawn = [rng.uniform(0.4, 1.6) for _ in range(count)]
    return tuple(x * count / math.fsum(drawn) for x in drawn)


def spread_tokens(total: float, count: int, name: str) -> list[float]:
    """Spread a sum over the tokens of an atom; what is a multiple of a length (`n`) spreads evenly."""
    if name.startswith("n"):
        return [total / count] * count
    first = [round(total / count * share, 6) for share in _shares(count, name)[:-1]]
    return [*first, round(total - math.fsum(first), 9)]


def vary_tokens(mean: float, count: int, name: str) -> list[float]:
    """Vary a number over the tokens of an atom."""
    return [round(mean * share, 6) for share in _shares(count, name)]


def gradients(
    slopes: Sequence[Node], leaves: Sequence[Node], at: Batch, *, precise: bool = False
) -> list[Any]:
    """Evaluate derivatives by row, in the shape of what they are taken with respect to.

    One number a response is spread over its tokens; what each response of a group adds to the row's own is summed.
    """
    given = values([*slopes, *leaves], at)
    done = evaluated(slopes, given) if precise else [evaluate(s, given) for s in slopes]
    found: list[Any] = []
    for value, leaf in zip(done, leaves, strict=True):
        _flatten(value, given[leaf], found)
    return found


def _flatten(value: Any, like: Any, found: list[Any]) -> None:
    if not isinstance(like, list):
        found.append(sum(value) if isinstance(value, list) else value)
        return
    for place, inner in enumerate(like):
        _flatten(value[place] if isinstance(value, list) else value, inner, found)

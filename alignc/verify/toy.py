"""A small policy that can be enumerated, and the exact expectation of a compiled loss on it.

A response is one of a few; its first token decides which, and the tokens that follow are certain, so that sums and
means over tokens, lengths and positions all have their real meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignc.contract.models import POLICY, ModelName
from alignc.contract.outputs import Quantity
from alignc.contract.responses import COMPLETIONS
from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Column, GroupSize, Length, Logp, Node, Output, Position, Reduce, Running, Stop
from alignc.graph.rewrite import inputs, substitute
from alignc.graph.walk import walk
from alignc.lower.loss import Loss, alone
from alignc.lower.statistics import rows_of, statistics

__all__ = [
    "HELD",
    "Array",
    "Expected",
    "Row",
    "Toy",
    "central_differences",
    "held_still",
    "log_softmax",
    "read_row",
]

Array = NDArray[np.float64]


def log_softmax(logits: Array) -> Array:
    """Normalise logits to log-probabilities."""
    top = logits.max()
    shifted: Array = logits - top - np.log(np.exp(logits - top).sum())
    return shifted


@dataclass(frozen=True)
class Toy:
    """The responses: how long they are, what the reference and the sampler think of them, what they are worth."""

    lengths: tuple[int, ...]
    reference: Array
    sampler: Array
    """log-probabilities."""
    rewards: Array

    @property
    def size(self) -> int:
        """The number of responses."""
        return len(self.lengths)


@dataclass(frozen=True)
class Row:
    """A row of data: its probability, which response plays which part, and its columns."""

    weight: float
    parts: Mapping[str, int | tuple[int, ...]]
    columns: Mapping[str, float | tuple[float, ...]]


class Expected:
    """The expectation of a loss over rows, and its gradient, by the graph's own evaluator and derivative.

    The parameters are the policy's logits, then a learned value, then a reward model's scores.
    """

    def __init__(self, loss: Loss, toy: Toy, rows: Sequence[Row], root: Node | None = None) -> None:
        self.toy, self.rows = toy, list(rows)
        self.weights = np.array([r.weight for r in rows])
        whole = loss.root if root is None else root
        shared = [n for n in walk(whole) if _shared(n) or n in set(statistics(loss))]
        self.shared = {node: Column(f"shared {i}", None, node.type.unit) for i, node in enumerate(shared)}
        self.row_loss = alone(substitute(whole, self.shared))
        self.held = held_still(self.row_loss)
        trained = [n for n in inputs(self.row_loss) if n.type.trained]
        self.slopes = {n: gradient(self.row_loss, n) for n in trained}

    @property
    def logits_alone(self) -> bool:
        """Whether neither a value nor scores are learned beside the policy."""
        return not any(isinstance(n, Output) for n in self.slopes)

    def loss(self, theta: Array, frozen: Array | None = None) -> float:
        """Compute the expected loss; what no gradient reaches is taken at `frozen`."""
        given = self._inputs(theta, frozen, [self.held])
        return float(self.weights @ _flat(evaluate(self.held, given), len(self.rows)))

    def gradient(self, theta: Array) -> Array:
        """Compute the exact gradient in the parameters, from the derived coefficients."""
        given = self._inputs(theta, None, list(self.slopes.values()))
        total = np.zeros(2 * self.toy.size + 1)
        policy = np.exp(log_softmax(theta[: self.toy.size]))
        for node, slope in self.slopes.items():
            self._collect(total, node, evaluate(slope, given), policy)
        return total

    def coefficients(self, theta: Array, response: str) -> Array:
        """Compute ∂ℓ/∂log π of a response, row by row: on its first token, the one that varies."""
        slope = self.slopes.get(Logp(POLICY, response))
        if slope is None:
            return np.zeros(len(self.rows))
        found = evaluate(slope, self._inputs(theta, None, [slope]))
        return np.array([_first(v) for v in _rows(found, len(self.rows))])

    def _collect(self, total: Array, node: Node, found: Any, policy: Array) -> None:
        size = self.toy.size
        response = node.response  # type: ignore[attr-defined]
        for row, value in zip(self.rows, _rows(found, len(self.rows)), strict=True):
            if isinstance(node, Output) and node.quantity == Quantity.VALUE:
                total[size] += row.weight * _first(value)
                continue
            members = row.parts[response]
            group = members if isinstance(members, tuple) else (members,)
            values = value if isinstance(members, tuple) and isinstance(value, list) else [value] * len(group)
            for member, one in zip(group, values, strict=True):
                if isinstance(node, Output):
                    total[size + 1 + member] += row.weight * _first(one)
                else:
                    total[member] += row.weight * _first(one)
                    total[:size] -= row.weight * _first(one) * policy

    def _inputs(self, theta: Array, frozen: Array | None, roots: list[Node]) -> dict[Node, Any]:
        read = _Reader(self.toy, theta, theta if frozen is None else frozen)
        given: dict[Node, Any] = {}
        at = theta if frozen is None else frozen
        for node, column in self.shared.items():
            given[column] = [self._statistic(node, at)] * len(self.rows)
        for leaf in inputs(*roots):
            if leaf not in given:
                given[leaf] = [read.row(leaf, row) for row in self.rows]
        return given

    def _statistic(self, node: Node, theta: Array) -> float:
        """Average what a statistic is made of over the rows."""
        argument = rows_of(node)[0]
        read = _Reader(self.toy, theta, theta)
        given = {leaf: [read.row(leaf, row) for row in self.rows] for leaf in inputs(argument)}
        return float(self.weights @ _flat(evaluate(argument, given), len(self.rows)) / self.weights.sum())


HELD = "held"
"""The policy as a stop-gradient reads it: of the same weights, and held still while the policy moves."""


def held_still(root: Node) -> Node:
    """Let what no gradient passes read a policy that is held still."""
    held: dict[Node, Node] = {}
    for node in walk(root):
        if isinstance(node, Stop):
            leaves: dict[Node, Node] = {n: _still(n) for n in inputs(node) if isinstance(n, Logp | Output)}
            held[node] = substitute(node.argument, leaves)
    return substitute(root, held)


def _still(node: Logp | Output) -> Node:
    if node.model != POLICY:
        return node
    return Logp(HELD, node.response) if isinstance(node, Logp) else Output(node.quantity, HELD, node.response)


def _shared(node: Node) -> bool:
    """Tell a reduction over the batch that no gradient passes: a count, or a reference point's."""
    return isinstance(node, Running) or (
        isinstance(node, Reduce) and node.over == "batch" and not node.argument.type.trained
    )


@dataclass(frozen=True)
class _Reader:
    """Reads the inputs of a graph off the toy policy."""

    toy: Toy
    theta: Array
    frozen: Array

    def row(self, node: Node, row: Row) -> Any:
        """Give a leaf its value in a row."""
        if isinstance(node, GroupSize):
            return float(len(row.parts[COMPLETIONS]))  # type: ignore[arg-type]
        if isinstance(node, Column):
            name = node.name if node.response is None else f"{node.name}/{node.response}"
            value = row.columns[name]
            return list(value) if isinstance(value, tuple) else value
        members = row.parts[node.response]  # type: ignore[attr-defined]
        if isinstance(members, tuple):
            return [self.one(node, m) for m in members]
        return self.one(node, members)

    def one(self, node: Node, member: int) -> Any:
        """Give a leaf its value for one response."""
        toy, size, length = self.toy, self.toy.size, self.toy.lengths[member]
        theta = self.frozen if getattr(node, "model", "") == HELD else self.theta
        match node:
            case Logp(model=ModelName.POLICY):
                return self.tokens(log_softmax(self.theta[:size])[member], length)
            case Logp(model=model) if model == HELD:
                return self.tokens(log_softmax(self.frozen[:size])[member], length)
            case Logp(model=ModelName.ROLLOUT):
                return self.tokens(toy.sampler[member], length)
            case Logp():
                return self.tokens(toy.reference[member], length)
            case Length():
                return float(length)
            case Position():
                return [float(i + 1) for i in range(length)]
            case Output(quantity=Quantity.VALUE):
                return float(theta[size])
            case Output(quantity=Quantity.SCORE):
                return float(theta[size + 1 + member])
            case Output(quantity=Quantity.LOG_SUM_SQUARES):
                squares = np.exp(2 * log_softmax(theta[:size])).sum()
                return self.tokens(float(np.log(squares)), length)
        raise TypeError(type(node).__name__)

    def tokens(self, first: float, length: int) -> list[float]:
        """Lay a log-probability on the first token; the others are certain."""
        return [float(first), *[0.0] * (length - 1)]


def read_row(toy: Toy, theta: Array, node: Node, row: Row) -> Any:
    """Give an input of a graph its value in a row, at a policy."""
    return _Reader(toy, theta, theta).row(node, row)


def _rows(value: Any, count: int) -> list[Any]:
    return value if isinstance(value, list) else [value] * count


def _flat(value: Any, count: int) -> Array:
    return np.array([_first(v) for v in _rows(value, count)])


def _first(value: Any) -> float:
    while isinstance(value, list):
        value = value[0]
    return float(value)


def central_differences(function: Callable[[Array], float], theta: Array, step: float = 1e-5) -> Array:
    """Differentiate a function of the parameters numerically."""
    found = np.zeros_like(theta)
    for i in range(len(theta)):
        move = np.zeros_like(theta)
        move[i] = step
        found[i] = (function(theta + move) - function(theta - move)) / (2 * step)
    return found

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
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Column, GroupSize, Length, Logp, Node, Output, Position, Reduce, Running, Stop
from alignc.graph.rewrite import inputs, substitute
from alignc.graph.walk import walk
from alignc.lower.loss import Loss, alone
from alignc.lower.statistics import rows_of, statistics
from alignc.verify.arrays import Array, evaluate_arrays

__all__ = [
    "HELD",
    "Array",
    "Expected",
    "Reading",
    "Row",
    "Rows",
    "Toy",
    "central_differences",
    "held_still",
    "log_softmax",
]


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
    """The expectation of a loss over rows, and its gradient, by the graph's derivative, for all rows at once.

    The parameters are the policy's logits, then a learned value, then a reward model's scores.
    """

    def __init__(self, loss: Loss, toy: Toy, rows: Sequence[Row], root: Node | None = None) -> None:
        self.toy, self.rows, self.data = toy, list(rows), Rows(toy, rows)
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
        return not any(isinstance(n, Output) and n.quantity not in OF_A_STATE for n in self.slopes)

    @property
    def potential(self) -> bool:
        """Whether the gradient is the derivative of the loss: nothing that moves is held still or shared."""
        stops = any(isinstance(n, Stop) and _moves(n.argument) for n in walk(self.row_loss))
        return not stops and not any(_moves(n) for n in self.shared)

    def loss(self, theta: Array, frozen: Array | None = None) -> float:
        """Compute the expected loss; what no gradient reaches is taken at `frozen`."""
        found = self._evaluated(self.held, theta, frozen)
        return float(self.weights @ self.data.first(found, grouped=False))

    def gradient(self, theta: Array) -> Array:
        """Compute the exact gradient in the parameters, from the derived coefficients."""
        total = np.zeros(2 * self.toy.size + 1)
        policy = np.exp(log_softmax(theta[: self.toy.size]))
        for node, slope in self.slopes.items():
            self._collect(total, node, self._evaluated(slope, theta, None), policy)
        return total

    def coefficients(self, theta: Array, response: str) -> Array:
        """Compute ∂ℓ/∂log π of a response, row by row: on its first token, the one that varies."""
        slope = self.slopes.get(Logp(POLICY, response))
        if slope is None:
            return np.zeros(len(self.weights))
        return self.data.first(self._evaluated(slope, theta, None), grouped=False)

    def _collect(self, total: Array, node: Node, found: Array, policy: Array) -> None:
        size = self.toy.size
        if isinstance(node, Output) and node.quantity == Quantity.VALUE:
            total[size] += float(self.weights @ self.data.first(found, grouped=False))
            return
        members = self.data.members[node.response]  # type: ignore[attr-defined]
        each = self.data.first(found, grouped=members.ndim > 1)
        pushes = (self.weights[:, None] if members.ndim > 1 else self.weights) * each
        by_member = np.bincount(members.ravel(), pushes.ravel(), minlength=size)
        if isinstance(node, Output) and node.quantity in OF_A_STATE:
            total[:size] += by_member.sum() * self._slope_of_state(node.quantity, policy)
        elif isinstance(node, Output):
            total[size + 1 :] += by_member
        else:
            total[:size] += by_member - by_member.sum() * policy

    def _slope_of_state(self, quantity: Quantity, policy: Array) -> Array:
        """Differentiate what a policy has in the state of the first token: its entropy, or its divergence."""
        logs = np.log(policy)
        worth = -logs if quantity == Quantity.ENTROPY else logs - self.toy.reference
        slope: Array = policy * (worth - policy @ worth)
        return slope

    def _evaluated(self, root: Node, theta: Array, frozen: Array | None) -> Array:
        at = theta if frozen is None else frozen
        read = Reading(self.toy, theta, at)
        given: dict[Node, Array] = {c: np.array(self._statistic(n, at)) for n, c in self.shared.items()}
        leaves = {n: self.data.leaf(n, read) for n in inputs(root) if n not in given}
        return evaluate_arrays(root, {**given, **leaves}, self.data.masks)

    def _statistic(self, node: Node, theta: Array) -> float:
        """Average what a statistic is made of over the rows."""
        argument = rows_of(node)[0]
        read = Reading(self.toy, theta, theta)
        found = evaluate_arrays(
            argument, {n: self.data.leaf(n, read) for n in inputs(argument)}, self.data.masks
        )
        return float(self.weights @ self.data.first(found, grouped=False) / self.weights.sum())


OF_A_STATE = (Quantity.ENTROPY, Quantity.DIVERGENCE)
"""Outputs that a state has, whatever word is drawn in it."""
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


def _moves(node: Node) -> bool:
    """Tell whether a node reads the policy."""
    return any(isinstance(n, Logp | Output) and n.model == POLICY for n in inputs(node))


def _shared(node: Node) -> bool:
    """Tell a reduction over the batch that no gradient passes: a count, or a reference point's."""
    return isinstance(node, Running) or (
        isinstance(node, Reduce) and node.over == "batch" and not node.argument.type.trained
    )


@dataclass(frozen=True)
class Reading:
    """Reads the inputs of a graph off the toy policy, for one response or for all."""

    toy: Toy
    theta: Array
    frozen: Array

    def table(self, node: Node) -> Array:
        """Give a leaf its value for every response: one number, or one for each token, padded."""
        toy, size = self.toy, self.toy.size
        theta = self.frozen if getattr(node, "model", "") == HELD else self.theta
        match node:
            case Logp(model=ModelName.POLICY):
                return self._tokens(log_softmax(self.theta[:size]))
            case Logp(model=model) if model == HELD:
                return self._tokens(log_softmax(self.frozen[:size]))
            case Logp(model=ModelName.ROLLOUT):
                return self._tokens(toy.sampler)
            case Logp():
                return self._tokens(toy.reference)
            case Length():
                return np.array(toy.lengths, float)
            case Position():
                return np.tile(np.arange(1.0, max(toy.lengths) + 1), (size, 1))
            case Output(quantity=Quantity.VALUE):
                return np.full(size, theta[size])
            case Output(quantity=Quantity.SCORE):
                return theta[size + 1 :]
            case Output(quantity=Quantity.ENTROPY):
                logs = log_softmax(theta[:size])
                return self._tokens(np.full(size, -np.exp(logs) @ logs))
            case Output(quantity=Quantity.DIVERGENCE):
                logs = log_softmax(theta[:size])
                return self._tokens(np.full(size, np.exp(logs) @ (logs - toy.reference)))
            case Output(quantity=Quantity.LOG_SUM_SQUARES):
                return self._tokens(np.full(size, np.log(np.exp(2 * log_softmax(theta[:size])).sum())))
        raise TypeError(type(node).__name__)

    def _tokens(self, first: Array) -> Array:
        """Lay log-probabilities on first tokens; the others are certain."""
        found = np.zeros((self.toy.size, max(self.toy.lengths)))
        found[:, 0] = first
        return found


class Rows:
    """Rows of data as arrays: which response plays which part, its columns, and which tokens are real."""

    def __init__(self, toy: Toy, rows: Sequence[Row]) -> None:
        names = rows[0].parts
        self.members = {name: np.array([r.parts[name] for r in rows], dtype=np.int64) for name in names}
        self.columns = {name: np.array([r.columns[name] for r in rows], float) for name in rows[0].columns}
        real = np.arange(max(toy.lengths)) < np.array(toy.lengths)[:, None]
        self.masks = {name: real[m].astype(float) for name, m in self.members.items()}
        self.count = len(rows)

    def leaf(self, node: Node, read: Reading) -> Array:
        """Give a leaf its values in all rows."""
        if isinstance(node, GroupSize):
            return np.full(self.count, float(self.members[COMPLETIONS].shape[1]))
        if isinstance(node, Column):
            return self.columns[node.name if node.response is None else f"{node.name}/{node.response}"]
        found: Array = read.table(node)[self.members[node.response]]  # type: ignore[attr-defined]
        return found

    def listed(self, node: Node, read: Reading) -> list[Any]:
        """Give a leaf its values in all rows as lists, without padding."""
        found = self.leaf(node, read)
        if not node.type.axis.by_token:
            return list(found.tolist())
        return _trimmed(found, self.masks[node.type.axis.response] > 0)

    def first(self, value: Array, *, grouped: bool) -> Array:
        """Spread a value over all rows, and over their responses; of tokens take the first."""
        shape = (self.count, *([self.members[COMPLETIONS].shape[1]] if grouped else []))
        while value.ndim > len(shape):
            value = value[..., 0]
        full: Array = np.broadcast_to(value.reshape(value.shape + (1,) * (len(shape) - value.ndim)), shape)
        return full


def _trimmed(values: Array, real: NDArray[np.bool_]) -> list[Any]:
    """Take the padding off, row by row and response by response."""
    if values.ndim == 1:
        return list(values[real].tolist())
    return [_trimmed(v, m) for v, m in zip(values, real, strict=True)]


def central_differences(function: Callable[[Array], float], theta: Array, step: float = 1e-5) -> Array:
    """Differentiate a function of the parameters numerically."""
    found = np.zeros_like(theta)
    for i in range(len(theta)):
        move = np.zeros_like(theta)
        move[i] = step
        found[i] = (function(theta + move) - function(theta - move)) / (2 * step)
    return found

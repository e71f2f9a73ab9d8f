"""A loss on responses of several words: its exact expected gradient in the logits of every state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alignc.contract.models import ROLLOUT, ModelName
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Logp, Node
from alignc.graph.rewrite import inputs
from alignc.lower.loss import Loss, alone
from alignc.verify.arrays import Array, evaluate_arrays
from alignc.verify.response_space import Policy, ResponseSpace
from alignc.verify.surrogate import padded
from alignc.verify.toy import Reading, Row, Rows, Toy

__all__ = ["Worded", "soft_values", "toy_of"]


def toy_of(space: ResponseSpace, sampler: Policy) -> Toy:
    """See the responses of a space as those of a toy, each one action."""
    lengths = tuple(len(s) for s in space.sentences)
    return Toy(lengths, np.log(space.reference.law), np.log(sampler.law), np.array(space.rewards))


class Worded:
    """A loss over rows of responses of a space, with its derived coefficients for every word."""

    def __init__(self, loss: Loss, space: ResponseSpace, toy: Toy, rows: Sequence[Row]) -> None:
        self.space, self.toy, self.rows = space, toy, Rows(toy, rows)
        self.weights = np.array([r.weight for r in rows])
        self.loss = alone(loss.root)
        trained = [n for n in inputs(self.loss) if n.type.trained]
        self.slopes = {n: gradient(self.loss, n) for n in trained if isinstance(n, Logp)}

    def gradient(self, policy: Policy, anchor: Policy) -> Array:
        """Compute the expected gradient in the logits of all states; other models are the anchor."""
        sums = np.zeros((len(self.space.sentences), self.space.longest))
        models: dict[str, Policy] = {ModelName.POLICY: policy, ROLLOUT: anchor}
        for node, slope in self.slopes.items():
            given = {n: self._leaf(n, models, anchor) for n in inputs(slope)}
            members, real = self.rows.members[node.response], self.rows.masks[node.response]
            found = evaluate_arrays(slope, given, self.rows.masks)
            found = found.reshape(found.shape + (1,) * (real.ndim - found.ndim))
            weights = self.weights.reshape((-1,) + (1,) * (real.ndim - 1))
            np.add.at(sums, members, weights * np.where(real > 0, found, 0.0))
        total = np.zeros(self.space.size)
        for i, words in enumerate(self.space.sentences):
            total += policy.scores(i, sums[i, : len(words)].tolist())
        return total

    def _leaf(self, node: Node, models: dict[str, Policy], anchor: Policy) -> Array:
        if not isinstance(node, Logp):
            theta = np.zeros(2 * self.toy.size + 1)
            return self.rows.leaf(node, Reading(self.toy, theta, theta))
        tokens = padded(models.get(node.model, anchor).tokens, self.space.longest)
        found: Array = tokens[self.rows.members[node.response]]
        return found


def soft_values(space: ResponseSpace, worth: Sequence[float], eta: float) -> tuple[Array, Array]:
    """Solve the soft Bellman equation backwards: Q* of every word in every state, and V* of the states.

    V(s) = (1/η)·log Σ_a ref(a|s)·exp(η·Q(s, a)); Q is the worth of the response where a word ends it, and V of the
    next state elsewhere.
    """
    reference, ends = space.reference, dict(zip(space.sentences, worth, strict=True))
    q = np.zeros((len(space.states), space.vocabulary))
    v = np.zeros(len(space.states))
    for state, place in sorted(space.states.items(), key=lambda item: -len(item[0])):
        for word in range(space.vocabulary):
            after = (*state, word)
            q[place, word] = ends[after] if after in ends else v[space.states[after]]
        logs = reference.logps[place] + eta * q[place]
        v[place] = float(logs.max() + np.log(np.exp(logs - logs.max()).sum())) / eta
    return q, v

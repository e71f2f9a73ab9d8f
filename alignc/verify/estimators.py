"""The exact expected gradient of a KL estimator, wherever it stands, on policies that can be enumerated.

Every gradient goes through the graph: the estimator's node, the derived coefficient, the evaluator. The divergences
to compare with are written down here, independently.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from alignc.contract.models import INITIAL, POLICY, ROLLOUT
from alignc.contract.responses import COMPLETION
from alignc.graph import build as b
from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Logp, Node
from alignc.graph.rewrite import inputs
from alignc.lower.estimators import kappa, weighted
from alignc.spec.kl import FULL
from alignc.theory.kinds import Placement
from alignc.theory.soundness import Sampling
from alignc.verify.toy import Array, Toy, log_softmax

__all__ = [
    "Tree",
    "divergence_gradient",
    "placed",
    "placement_gradient",
    "token_gradient",
    "tree_kl_gradient",
]

Y = COMPLETION


def placed(estimator: str, placement: Placement, sampling: Sampling, *, whole: bool = True) -> Node:
    """Write an estimator at its place as a loss of one response: of the whole, or of each token."""
    logs = {m: Logp(m, Y) for m in (POLICY, INITIAL, ROLLOUT)}
    l, r, o = (b.bare(b.sum_over("token", n) if whole else n) for n in logs.values())
    value = kappa(estimator, b.subtract(l, r))
    if placement == "reward":
        value = b.multiply(b.stop(value), l)
    rho = b.apply("exp", b.subtract(l, o))
    if placement == "ratio":
        return weighted(value, rho, "ratio")
    return weighted(value, rho if sampling == "weighted" else None, "importance")


def placement_gradient(
    estimator: str, placement: Placement, sampling: Sampling, logits: Array, toy: Toy
) -> Array:
    """Compute the expected gradient in the logits, for a response as one action.

    The responses are the policy's own (`policy`), or the sampler's.
    """
    policy = log_softmax(logits)
    law = policy if sampling == "policy" else toy.sampler
    logs: dict[str, Array] = {POLICY: policy, INITIAL: toy.reference, ROLLOUT: law}
    slope = _slope(estimator, placement, sampling)
    given: dict[Node, object] = {
        n: [[float(v)] for v in logs[n.model]] for n in inputs(slope) if isinstance(n, Logp)
    }
    found = evaluate(slope, given)
    coefficients = np.array(found if isinstance(found, list) else [found] * toy.size)
    pushes = np.exp(law) * coefficients
    total: Array = pushes - pushes.sum() * np.exp(policy)
    return total


@lru_cache(maxsize=64)
def _slope(estimator: str, placement: Placement, sampling: Sampling) -> Node:
    return gradient(placed(estimator, placement, sampling), Logp(POLICY, Y))


def divergence_gradient(name: str, logits: Array, reference: Array) -> Array:
    """Differentiate a divergence of softmax(logits) to the reference: `kl`, `reverse` or `variation`."""
    policy = np.exp(log_softmax(logits))
    u = np.log(policy) - reference
    slope = {"kl": u, "reverse": -np.exp(-u), "variation": np.sign(policy - np.exp(reference))}[name]
    found: Array = policy * (slope - policy @ slope)
    return found


class Tree:
    """Two tokens of two words each: three states, of which the first token chooses the second's."""

    PATHS = tuple((a, c) for a in range(2) for c in range(2))

    def __init__(self, logits: Array) -> None:
        self.logps = np.array([log_softmax(row) for row in logits.reshape(3, 2)])

    def tokens(self, path: tuple[int, int]) -> list[float]:
        """List a path's log-probabilities."""
        return [float(self.logps[0, path[0]]), float(self.logps[1 + path[0], path[1]])]

    def probability(self, path: tuple[int, int]) -> float:
        """Compute a path's probability."""
        return float(np.exp(sum(self.tokens(path))))

    def scores(self, path: tuple[int, int], coefficients: list[float]) -> Array:
        """Sum coefficient · ∇log π over a path's two tokens, in the six logits."""
        found = np.zeros((3, 2))
        for state, word, c in zip((0, 1 + path[0]), path, coefficients, strict=True):
            found[state] -= c * np.exp(self.logps[state])
            found[state, word] += c
        return found.ravel()


def token_gradient(
    estimator: str,
    placement: Placement,
    granularity: str,
    logits: Array,
    reference: Array,
    sampler: Array | None = None,
    discount: float = 1.0,
) -> Array:
    """Compute the expected gradient on the tree: own samples, or the sampler's under importance weights.

    A reward token by token counts for every token before it, discounted.
    """
    policy, base, old = Tree(logits), Tree(reference), Tree(logits if sampler is None else sampler)
    if estimator == FULL.name:
        return _full_gradient(placement, policy, base)
    rewarded = placement == "reward" and granularity == "token"
    root = (
        kappa(estimator, b.bare(b.subtract(Logp(POLICY, Y), Logp(INITIAL, Y))))
        if rewarded
        else placed(estimator, placement, "weighted", whole=granularity == "sequence")
    )
    slope = root if rewarded else gradient(_over_tokens(root), Logp(POLICY, Y))
    total = np.zeros(6)
    for path in Tree.PATHS:
        given = {n: [_leaf(n, policy, base, old).tokens(path)] for n in inputs(slope)}
        values = evaluate(slope, given)
        one = values[0] if isinstance(values, list) else values
        coefficients = [float(v) for v in one] if isinstance(one, list) else [float(one)] * 2
        weight = old.probability(path)
        if rewarded:
            weight = policy.probability(path)
            coefficients = [coefficients[0] + discount * coefficients[1], coefficients[1]]
        total += weight * policy.scores(path, coefficients)
    return total


def _over_tokens(root: Node) -> Node:
    return b.sum_over("token", root) if root.type.axis.by_token else root


def _leaf(node: Node, policy: Tree, base: Tree, old: Tree) -> Tree:
    assert isinstance(node, Logp)
    models: dict[str, Tree] = {POLICY: policy, INITIAL: base, ROLLOUT: old}
    return models[node.model]


def _full_gradient(placement: Placement, policy: Tree, base: Tree) -> Array:
    """Differentiate Σ_t KL(π(·|s_t)‖ref(·|s_t)): inside each state (loss), or through the states reached (reward)."""
    probs = np.exp(policy.logps)
    u = policy.logps - base.logps
    kl = (probs * u).sum(-1)
    reach = np.array([1.0, probs[0, 0], probs[0, 1]])
    if placement == "loss":
        found: Array = (reach[:, None] * probs * (u - kl[:, None])).ravel()
        return found
    total = np.zeros(6)
    for path in Tree.PATHS:
        rewards = [float(kl[0] + kl[1 + path[0]]), float(kl[1 + path[0]])]
        total += policy.probability(path) * policy.scores(path, rewards)
    return total


def tree_kl_gradient(logits: Array, reference: Array) -> Array:
    """Differentiate KL(π‖ref) of whole responses by the chain rule: what each state adds, and whom it leads to."""
    policy, base = Tree(logits), Tree(reference)
    return _full_gradient("loss", policy, base) + _full_gradient("reward", policy, base)

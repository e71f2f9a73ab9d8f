"""The exact expected gradient of a compiled policy gradient, over every group that a policy can sample.

The responses are the old policy's, and so are advantages; the batch is taken as large, so that what a loss divides
by (all tokens of the batch) stands at its expectation.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alignc.contract.models import ROLLOUT, ModelName
from alignc.contract.outputs import Quantity
from alignc.contract.responses import COMPLETIONS
from alignc.graph.evaluate import evaluate
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Column, GroupSize, Length, Logp, Node, Output, Position, Reduce, is_divergence
from alignc.graph.rewrite import inputs, substitute
from alignc.graph.walk import walk
from alignc.lower.loss import TermLoss, alone
from alignc.verify.arrays import Array, evaluate_arrays
from alignc.verify.response_space import Policy, ResponseSpace
from alignc.verify.returns import Tokens, group_advantages, paid
from alignc.verify.rows import orders
from alignc.verify.toy import HELD, held_still

__all__ = ["Groups", "Surrogate", "win_rates_of"]

Group = tuple[int, ...]
POLICY, APART = (
    Logp(ModelName.POLICY, COMPLETIONS),
    Output(Quantity.DIVERGENCE, ModelName.POLICY, COMPLETIONS),
)


def win_rates_of(old: Policy, rewards: tuple[float, ...]) -> list[float]:
    """Give each response's probability to beat one of the old policy's, by Bradley-Terry of the rewards."""
    worth = np.array(rewards)
    better = 1 / (1 + np.exp(worth[None, :] - worth[:, None]))
    return [float(p) for p in better @ old.law]


@dataclass(frozen=True)
class Groups:
    """Every group of k responses that may be drawn, and its probability; their order means nothing."""

    space: ResponseSpace
    size: int

    @cached_property
    def members(self) -> list[Group]:
        """List the groups."""
        return list(itertools.combinations_with_replacement(range(len(self.space.sentences)), self.size))

    @cached_property
    def places(self) -> NDArray[np.int64]:
        """List the groups as one array."""
        return np.array(self.members, dtype=np.int64)

    @cached_property
    def real(self) -> Array:
        """Tell which words of each member are real: the others are padding."""
        lengths = np.array([len(s) for s in self.space.sentences])
        return (np.arange(self.space.longest) < lengths[self.places][..., None]).astype(float)

    def law(self, old: Policy) -> Array:
        """Compute each group's probability."""
        logs = np.log(old.law)
        return np.exp([orders(g) + float(logs[list(g)].sum()) for g in self.members])


def padded(rows: Tokens, longest: int) -> Array:
    """Lay rows of numbers beside each other, with zeros at their ends."""
    found = np.zeros((len(rows), longest))
    for row, values in zip(found, rows, strict=True):
        row[: len(values)] = values
    return found


class Surrogate:
    """A policy gradient's loss on groups of responses, with its derived coefficients.

    `critic` shifts the exact values of states by this much at most; `rewards` replaces those of the words.
    """

    def __init__(
        self, term: TermLoss, groups: Groups, *, critic: float = 0.0, rewards: tuple[float, ...] | None = None
    ) -> None:
        self.term, self.groups, self.space = term, groups, groups.space
        self.critic, self.rewards = critic, groups.space.rewards if rewards is None else rewards
        batch = [n for n in walk(term.value) if _of_batch(n)]
        self.shared: dict[Node, Node] = {
            n: Column(f"shared {i}", None, n.type.unit) for i, n in enumerate(batch)
        }
        self.loss = alone(substitute(term.value, self.shared))
        self.slopes = {n: gradient(self.loss, n) for n in (POLICY, APART) if n in inputs(self.loss)}
        self.held = held_still(self.loss)
        self._kept: tuple[Policy, Array] | None = None

    def gradient(self, policy: Policy, old: Policy) -> Array:
        """Compute the expected gradient in the policy's logits, on responses of the old policy."""
        law = self.groups.law(old)
        total = np.zeros(self.space.size)
        for leaf, slope in self.slopes.items():
            found = self._evaluated(slope, policy, old, policy)
            found = found.reshape(found.shape + (1,) * (3 - found.ndim))
            sums = np.zeros((len(self.space.sentences), self.space.longest))
            np.add.at(
                sums, self.groups.places, law[:, None, None] * np.where(self.groups.real > 0, found, 0.0)
            )
            for member, words in enumerate(self.space.sentences):
                total += self._collected(leaf, policy, member, sums[member, : len(words)].tolist())
        return total

    def _collected(self, leaf: Node, policy: Policy, member: int, coefficients: list[float]) -> Array:
        """Carry the coefficients of a response's words, of log π or of the states' divergence, to the logits."""
        if leaf is APART:
            return policy.apart_slopes(self.space.reference, member, coefficients)
        return policy.scores(member, coefficients)

    def value(self, policy: Policy, old: Policy, held: Policy) -> float:
        """Compute the expected loss; what no gradient reaches is taken at `held`."""
        law = self.groups.law(old)
        found = self._evaluated(self.held, policy, old, held)
        return float(law @ np.broadcast_to(found, law.shape))

    def _evaluated(self, root: Node, policy: Policy, old: Policy, held: Policy) -> Array:
        models = {ModelName.POLICY: policy, ROLLOUT: old, HELD: held}
        given: dict[Node, Array] = {}
        for node in inputs(root):
            if isinstance(node, Column) and node.token and not is_divergence(node):
                given[node] = self._advantages(old)
            else:
                given[node] = self._leaf(node, models, old)
        return evaluate_arrays(root, given, {COMPLETIONS: self.groups.real})

    def _leaf(self, node: Node, models: dict[str, Policy], old: Policy) -> Array:
        counted = next((n for n, column in self.shared.items() if column is node), None)
        if counted is not None:
            return np.array(self._shared(counted, old))
        if isinstance(node, GroupSize):
            return np.full(len(self.groups.members), float(self.groups.size))
        found: Array = self._table(node, models, old)[self.groups.places]
        return found

    def _table(self, node: Node, models: dict[str, Policy], old: Policy) -> Array:
        """Give a leaf its value for every response of the space: one number, or one a word, padded."""
        sentences = self.space.sentences
        if is_divergence(node):
            who = models[node.model] if isinstance(node, Output) else old
            return padded(who.apart(self.space.reference), self.space.longest)
        match node:
            case Logp(model=model):
                return padded(models.get(model, self.space.reference).tokens, self.space.longest)
            case Length():
                return np.array([float(len(s)) for s in sentences])
            case Position():
                return np.tile(np.arange(1.0, self.space.longest + 1), (len(sentences), 1))
            case Column(name="reward"):
                return np.array(self.rewards)
            case Column(name="win_rate"):
                return np.array(win_rates_of(old, self.rewards))
        raise TypeError(type(node).__name__)

    def _shared(self, node: Node, old: Policy) -> float:
        """Take a count over the batch at its expectation, a row's."""
        inner = node.argument  # type: ignore[attr-defined]
        given = {n: self._leaf(n, {ROLLOUT: old}, old) for n in inputs(inner)}
        law = self.groups.law(old)
        found = evaluate_arrays(inner, given, {COMPLETIONS: self.groups.real})
        return float(law @ np.broadcast_to(found, law.shape))

    def _advantages(self, old: Policy) -> Array:
        """Compute the advantages of every group, and keep those of the last policy."""
        if self._kept is None or self._kept[0] is not old:
            longest = self.space.longest
            self._kept = (old, np.array([padded(rows, longest) for rows in self._columns(old)]))
        return self._kept[1]

    def _columns(self, old: Policy) -> list[Tokens]:
        """Compute the advantages of every group, with a critic that knows the old policy's values but for `critic`."""
        how = self.term.advantage
        assert how is not None
        amounts = self._amounts(old)
        states = old.values(amounts, how.discount)
        noise = np.random.default_rng(5).uniform(-1, 1, len(states))
        wrong = {s: v + self.critic * float(e) for (s, v), e in zip(states.items(), noise, strict=True)}
        values = [[wrong[s[:t]] for t in range(len(s))] for s in self.space.sentences]
        return [
            group_advantages(how, [amounts[i] for i in g], [values[i] for i in g])
            for g in self.groups.members
        ]

    def _amounts(self, old: Policy) -> Tokens:
        """List what every response is paid, word by word: its reward, less the penalty."""
        how, sentences = self.term.advantage, self.space.sentences
        assert how is not None
        worth = list(self.rewards) if how.reward == "reward" else win_rates_of(old, self.rewards)
        penalty: list[Any] = [None] * len(sentences)
        charge = self.term.penalty
        if charge is not None:
            logs: dict[str, Tokens] = {ROLLOUT: old.tokens}
            given: dict[Node, Any] = {n: [logs.get(n.model, self.space.reference.tokens)] for n in inputs(charge)
                     if isinstance(n, Logp)}  # fmt: skip
            given |= {n: [old.apart(self.space.reference)] for n in inputs(charge) if is_divergence(n)}
            penalty = _spread(_spread(evaluate(charge, given), 1)[0], len(sentences))
        return [paid(w, len(s), p) for w, s, p in zip(worth, sentences, penalty, strict=True)]


def _of_batch(node: Node) -> bool:
    return isinstance(node, Reduce) and node.over == "batch" and not node.argument.type.trained


def _spread(value: Any, count: int) -> list[Any]:
    return value if isinstance(value, list) else [value] * count

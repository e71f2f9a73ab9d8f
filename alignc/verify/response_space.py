"""A policy over words that can be enumerated: each response, its probability, its length, and the exact gradient.

Parameters are the logits of each state, flattened. A response ends at the end word, or at the longest length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from alignc.verify.toy import Array, log_softmax

__all__ = ["BANDIT", "FEW", "FEW_TOKENS", "TOKENS", "Policy", "ResponseSpace"]

Sentence = tuple[int, ...]


@dataclass(frozen=True)
class ResponseSpace:
    """All responses over `vocabulary` words up to `longest`; the last word ends one, where any does."""

    name: str
    vocabulary: int
    longest: int
    ends: bool
    seed: int

    @cached_property
    def sentences(self) -> tuple[Sentence, ...]:
        """List the responses."""
        return tuple(self._from(()))

    def _from(self, start: Sentence) -> list[Sentence]:
        if len(start) == self.longest or (self.ends and start and start[-1] == self.vocabulary - 1):
            return [start]
        return [s for word in range(self.vocabulary) for s in self._from((*start, word))]

    @cached_property
    def states(self) -> dict[Sentence, int]:
        """Number the beginnings that a word is drawn after."""
        found = {s[:i]: None for s in self.sentences for i in range(len(s))}
        return {s: i for i, s in enumerate(found)}

    @property
    def size(self) -> int:
        """The number of parameters."""
        return len(self.states) * self.vocabulary

    @cached_property
    def rewards(self) -> tuple[float, ...]:
        """Give every response a reward; longer ones are not worth more."""
        draws = np.random.default_rng(self.seed).normal(0, 1, len(self.sentences))
        return tuple(float(r) for r in draws)

    @cached_property
    def reference(self) -> Policy:
        """Return the reference, another policy with positive probabilities."""
        return self.policy(np.random.default_rng(self.seed + 1).normal(0, 0.5, self.size))

    def policy(self, logits: Array) -> Policy:
        """Make a policy of logits."""
        return Policy(self, logits)

    def drawn(self, count: int, spread: float = 0.7) -> list[Policy]:
        """Draw policies."""
        random = np.random.default_rng(self.seed + 2)
        return [self.policy(random.normal(0, spread, self.size)) for _ in range(count)]


class Policy:
    """A law of words in every state."""

    def __init__(self, space: ResponseSpace, logits: Array) -> None:
        self.space, self.logits = space, logits
        self.logps = np.array([log_softmax(row) for row in logits.reshape(-1, space.vocabulary)])

    @cached_property
    def tokens(self) -> list[list[float]]:
        """List each response's log-probabilities, word by word."""
        places = self.space.states
        return [[float(self.logps[places[s[:i]], s[i]]) for i in range(len(s))] for s in self.space.sentences]

    @cached_property
    def law(self) -> Array:
        """Compute each response's probability."""
        return np.exp([sum(t) for t in self.tokens])

    def scores(self, sentence: int, coefficients: list[float]) -> Array:
        """Sum coefficient · ∇log π over a response's words, in the logits."""
        found = np.zeros_like(self.logps)
        words = self.space.sentences[sentence]
        for i, c in enumerate(coefficients):
            state = self.space.states[words[:i]]
            found[state] -= c * np.exp(self.logps[state])
            found[state, words[i]] += c
        return found.ravel()

    def slope(self, worth: list[float]) -> Array:
        """Compute Σ π(y)·worth(y)·∇log π(y): the gradient of E[worth] where worth does not move with π."""
        found = np.zeros(self.space.size)
        for i, tokens in enumerate(self.tokens):
            found += self.law[i] * self.scores(i, [worth[i]] * len(tokens))
        return found

    def steps(self, g: Callable[[float], float], base: Policy) -> Array:
        """Compute E[Σ_t g(u_t)·∇log π_t], u_t a word's log-ratio: with the law of the states held still."""
        found = np.zeros(self.space.size)
        for i, (tokens, others) in enumerate(zip(self.tokens, base.tokens, strict=True)):
            ratios = [g(l - r) for l, r in zip(tokens, others, strict=True)]
            found += self.law[i] * self.scores(i, ratios)
        return found

    def ratios(self, base: Policy) -> list[float]:
        """Compute the log-ratio of every response."""
        return [sum(l) - sum(r) for l, r in zip(self.tokens, base.tokens, strict=True)]

    def divergence(self, base: Policy) -> Array:
        """Compute ∇KL(π‖base) of whole responses."""
        return self.slope(self.ratios(base))

    def apart(self, base: Policy) -> list[list[float]]:
        """List, word by word of each response, the divergence KL(π‖base) of the state that it is drawn in."""
        by_state, places = self._by_state(base), self.space.states
        return [[float(by_state[places[s[:i]]]) for i in range(len(s))] for s in self.space.sentences]

    def apart_slopes(self, base: Policy, sentence: int, coefficients: list[float]) -> Array:
        """Sum coefficient · ∇KL of the state over a response's words, in the logits."""
        by_state, found = self._by_state(base), np.zeros_like(self.logps)
        words = self.space.sentences[sentence]
        for i, c in enumerate(coefficients):
            at = self.space.states[words[:i]]
            found[at] += c * np.exp(self.logps[at]) * (self.logps[at] - base.logps[at] - by_state[at])
        return found.ravel()

    def _by_state(self, base: Policy) -> Array:
        found: Array = (np.exp(self.logps) * (self.logps - base.logps)).sum(axis=1)
        return found

    def values(self, paid: list[list[float]], discount: float) -> dict[Sentence, float]:
        """Compute the value of every state where word t of response i is paid `paid[i][t]`."""
        places = self.space.states
        total = dict.fromkeys(places, 0.0)
        mass = dict.fromkeys(places, 0.0)
        for i, words in enumerate(self.space.sentences):
            later = 0.0
            for t in range(len(words) - 1, -1, -1):
                later = paid[i][t] + discount * later
                total[words[:t]] += self.law[i] * later
                mass[words[:t]] += self.law[i]
        return {s: total[s] / mass[s] for s in places}


BANDIT = ResponseSpace("one action", 6, 1, False, 11)
TOKENS = ResponseSpace("two tokens", 3, 2, True, 21)
FEW = ResponseSpace("one action of three", 3, 1, False, 31)
FEW_TOKENS = ResponseSpace("one or two tokens", 2, 2, True, 41)
"""Spaces of three responses, for large groups."""

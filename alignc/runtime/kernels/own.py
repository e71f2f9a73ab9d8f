"""What a loss needs of the next token, from a model's own logits: for heads that tiles can't follow.

Each function takes logits of a few tokens as the model makes them. They hold a chunk of all logits at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ...contract.outputs import Quantity
from .heads import LogitsOf, in_chunks

__all__ = ["own_divergence", "own_log_probs", "own_statistic"]


def own_log_probs(logits: LogitsOf, words: int, hidden: Tensor, targets: Tensor) -> Tensor:
    """Score each target: log p ``[tokens]``, in nat."""

    def score(rows: Tensor, ids: Tensor) -> Tensor:
        return logits(rows).log_softmax(-1).gather(1, ids[:, None])[:, 0]

    return in_chunks(score, words, (hidden, targets))


def own_statistic(name: str, logits: LogitsOf, words: int, hidden: Tensor) -> Tensor:
    """Compute a statistic of the next token ``[tokens]``: its entropy, or log Σ p²."""
    function = _STATISTICS[name]
    return in_chunks(lambda rows: function(logits(rows).log_softmax(-1)), words, (hidden,))


def own_divergence(logits: LogitsOf, others: LogitsOf, words: int, hidden: Tensor, known: Tensor) -> Tensor:
    """Compute Σ_v p(v) log(p(v)/q(v)) of each token ``[tokens]``, in nat; q is the other model's."""

    def apart(rows: Tensor, beside: Tensor) -> Tensor:
        log_p = logits(rows).log_softmax(-1)
        with torch.no_grad():
            log_q = others(beside).log_softmax(-1)
        return (log_p.exp() * (log_p - log_q)).sum(-1)

    return in_chunks(apart, words, (hidden, known))


def _entropy(log_p: Tensor) -> Tensor:
    return -(log_p.exp() * log_p).sum(-1)


def _log_sum_squares(log_p: Tensor) -> Tensor:
    return (2 * log_p.detach()).logsumexp(-1)


_STATISTICS: Mapping[str, Callable[[Tensor], Tensor]] = {
    Quantity.ENTROPY: _entropy,
    Quantity.LOG_SUM_SQUARES: _log_sum_squares,
}

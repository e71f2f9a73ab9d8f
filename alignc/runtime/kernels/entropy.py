"""The entropy of the policy's next token, with its gradient, without ever holding all logits.

Like the log-probability it walks over tiles of the vocabulary. z: the logits, M: a row's maximum, p: probabilities.

    H = log Z − Σ_v p_v z_v          ∂H/∂z_v = −p_v (log p_v + H)

The forward is one pass of the LM head over the scored tokens. The backward makes the tiles again, since it needs more
of them than the log-probability keeps: 4 matrix products of 2·T·V·H FLOP in all, 1 without a gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .tiles import TILE_WIDTH, Gradients, Head, LogitRule, Normalizer, compute_dtype

__all__ = ["token_entropy"]


def token_entropy(
    hidden: Tensor,
    weight: Tensor,
    *,
    bias: Tensor | None = None,
    rule: LogitRule | None = None,
    width: int = TILE_WIDTH,
) -> Tensor:
    """Compute −Σ_v p(v) log p(v) of each token ``[tokens]``, in nat.

    ``hidden`` is ``[tokens, H]``, ``weight`` ``[V, H]``, ``bias`` ``[V]``; types as of `token_log_probs`.
    """
    compute = compute_dtype(hidden)
    with torch.autocast(hidden.device.type, enabled=False):
        result: Tensor = _TokenEntropy.apply(
            hidden, weight, bias, rule or LogitRule(), compute, min(width, weight.shape[0])
        )
        return result


class _TokenEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        rule: LogitRule,
        compute: torch.dtype,
        width: int,
    ) -> Tensor:
        ctx.settings = (rule, compute, width)
        normalizer, entropy = _reduce(Head(weight, bias, *ctx.settings), hidden.to(compute))
        ctx.save_for_backward(hidden, weight, bias, entropy, normalizer.highest, normalizer.log_sum)
        return entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, entropy, highest, log_sum = ctx.saved_tensors
        head = Head(weight, bias, *ctx.settings)
        sums = Gradients.start(head, hidden.to(head.compute), ctx.needs_input_grad[:3])
        share = -upstream * head.rule.scale
        for rows in head.rows(len(hidden)):
            for columns in head.columns():
                logits = head.logits(sums.hidden[rows], columns)
                slope = head.rule.slope(logits)
                log_p = logits.sub_(highest[rows][:, None]).sub_(log_sum[rows][:, None])
                surplus = log_p.exp().mul_(log_p.add_(entropy[rows][:, None])).mul_(slope)
                sums.add_tile(rows, columns, surplus.to(head.compute), share[rows])
        return (*sums.as_dtypes(hidden, weight, bias), *[None] * 3)


def _reduce(head: Head, hidden: Tensor) -> tuple[Normalizer, Tensor]:
    """Return the rows' normalizer and entropy in one pass.

    With z' = z − M a tile of maximum m has Σe^{z'} = f·Σe and Σe^{z'}z' = f·(Σe(z − m) + (m − M)·Σe), f = exp(m − M).
    """
    highest, log_sum, entropy = (hidden.new_zeros(len(hidden), dtype=head.exact) for _ in range(3))
    for rows in head.rows(len(hidden)):
        tiles = [_moments(head.logits(hidden[rows], columns)) for columns in head.columns()]
        tops, totals, weighted = (torch.stack(each) for each in zip(*tiles, strict=True))
        highest[rows] = tops.amax(0)
        below = tops - highest[rows]
        whole = (totals * below.exp()).sum(0)
        moment = ((weighted + totals * below) * below.exp()).sum(0)
        log_sum[rows] = whole.log()
        entropy[rows] = whole.log() - moment / whole
    return Normalizer(highest, log_sum), entropy


def _moments(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return m, Σe and Σe·(z − m) of a tile; overwrites the logits."""
    top = logits.amax(1)
    below = logits.sub_(top[:, None])
    e = below.exp()
    return top, e.sum(1), e.mul_(below).sum(1)

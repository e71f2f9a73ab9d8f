"""The KL of the policy's next token to another model's, with its gradient, without ever holding all logits.

Like the log-probability it walks over tiles of the vocabulary. z, z′: the logits of the two, M: a row's maximum of z,
p and q their probabilities.

    D = Σ_v p_v (z_v − z′_v) − log Z + log Z′          ∂D/∂z_v = p_v (log p_v − log q_v − D)

The forward is one pass of both heads over the scored tokens. The backward makes the tiles again; nothing goes back
into the other model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .tiles import TILE_WIDTH, Gradients, Head, LogitRule, Normalizer, compute_dtype

__all__ = ["ReferenceHead", "token_divergence"]


@dataclass(frozen=True)
class ReferenceHead:
    """The other model at the same tokens: its hidden states ``[tokens, H′]`` and its head."""

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None = None
    rule: LogitRule = field(default_factory=LogitRule)

    def head(self, compute: torch.dtype, width: int) -> Head:
        """Give its head in one call's types."""
        return Head(self.weight, self.bias, self.rule, compute, width)


def token_divergence(
    hidden: Tensor,
    weight: Tensor,
    other: ReferenceHead,
    *,
    bias: Tensor | None = None,
    rule: LogitRule | None = None,
    width: int = TILE_WIDTH,
) -> Tensor:
    """Compute Σ_v p(v) log(p(v)/q(v)) of each token ``[tokens]``, in nat; q is the ``other`` model's.

    ``hidden`` is ``[tokens, H]``, ``weight`` ``[V, H]``, ``bias`` ``[V]``; types as of `token_log_probs`. Both
    vocabularies must be the same.
    """
    compute = compute_dtype(hidden)
    with torch.autocast(hidden.device.type, enabled=False):
        result: Tensor = _TokenDivergence.apply(
            hidden, weight, bias, other, rule or LogitRule(), compute, min(width, weight.shape[0])
        )
        return result


class _TokenDivergence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        other: ReferenceHead,
        rule: LogitRule,
        compute: torch.dtype,
        width: int,
    ) -> Tensor:
        ctx.settings, ctx.other = (rule, compute, width), other
        head = Head(weight, bias, *ctx.settings)
        own, others, divergences = _reduce(head, hidden.to(compute), other)
        ctx.save_for_backward(
            hidden, weight, bias, divergences, own.highest, own.log_sum, others.highest, others.log_sum
        )
        return divergences

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, divergences, *normal = ctx.saved_tensors
        own, others = Normalizer(*normal[:2]), Normalizer(*normal[2:])
        head = Head(weight, bias, *ctx.settings)
        beside, known = ctx.other.head(head.compute, head.width), ctx.other.hidden.to(head.compute)
        sums = Gradients.start(head, hidden.to(head.compute), ctx.needs_input_grad[:3])
        share = upstream * head.rule.scale
        for rows in head.rows(len(hidden)):
            for columns in head.columns():
                logits = head.logits(sums.hidden[rows], columns)
                slope = head.rule.slope(logits)
                log_p = _log_shares(logits, own, rows)
                log_q = _log_shares(beside.logits(known[rows], columns), others, rows)
                surplus = log_p.exp().mul_((log_p - log_q).sub_(divergences[rows][:, None])).mul_(slope)
                sums.add_tile(rows, columns, surplus.to(head.compute), share[rows])
        return (*sums.as_dtypes(hidden, weight, bias), *[None] * 4)


def _log_shares(logits: Tensor, normalizer: Normalizer, rows: slice) -> Tensor:
    """Turn a tile of logits into log-probabilities, in place."""
    return logits.sub_(normalizer.highest[rows][:, None]).sub_(normalizer.log_sum[rows][:, None])


def _reduce(head: Head, hidden: Tensor, other: ReferenceHead) -> tuple[Normalizer, Normalizer, Tensor]:
    """Return both models' normalizers and the divergence, in one pass.

    A tile leaves its maxima m and m′, Σe, Σe′ and Σe·(z − z′), with e = exp(z − m).
    """
    beside, known = other.head(head.compute, head.width), other.hidden.to(head.compute)
    values = [hidden.new_zeros(len(hidden), dtype=head.exact) for _ in range(5)]
    for rows in head.rows(len(hidden)):
        tiles = [
            _moments(head.logits(hidden[rows], columns), beside.logits(known[rows], columns))
            for columns in head.columns()
        ]
        top, total, moment, top_other, total_other = (torch.stack(each) for each in zip(*tiles, strict=True))
        highest, highest_other = top.amax(0), top_other.amax(0)
        below = (top - highest).exp()
        whole = (total * below).sum(0)
        log_sum, log_other = whole.log(), (total_other * (top_other - highest_other).exp()).sum(0).log()
        mean = (moment * below).sum(0) / whole
        divergences = mean - (highest - highest_other) - (log_sum - log_other)
        for value, here in zip(
            values, (highest, log_sum, highest_other, log_other, divergences), strict=True
        ):
            value[rows] = here
    return Normalizer(*values[:2]), Normalizer(*values[2:4]), values[4]


def _moments(logits: Tensor, others: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return m, Σe, Σe·(z − z′), m′ and Σe′ of a tile; overwrites the logits."""
    top, top_other = logits.amax(1), others.amax(1)
    apart = logits - others
    e = logits.sub_(top[:, None]).exp_()
    total_other = others.sub_(top_other[:, None]).exp_().sum(1)
    return top, e.sum(1), e.mul_(apart).sum(1), top_other, total_other

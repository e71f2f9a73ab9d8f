"""Token log-probabilities straight from hidden states, without a lasting ``[tokens, vocabulary]`` matrix.

One autograd function takes the hidden states that predict a completion token and returns log p of each
target. It walks over tiles of the vocabulary. z: the logits, m: a tile's maximum in a row, e = exp(z − m):

    log Z = log Σ over tiles of exp(m)·Σe        log p = z[target] − log Z
    ∂log p/∂z = onehot(target) − e·exp(m − log Z)

The factor exp(m − log Z) scales rows, so the backward moves it to the narrow side of its two matrix products
and needs no elementwise pass over the vocabulary. What is trained and what fits decides how much is kept:

==================  ====================================================  ==================================
head                kept for the backward                                 matrix products, 2·T·V·H FLOP each
==================  ====================================================  ==================================
trained, fits       e                                                     3
trained, too large  log Z; the tiles are made again                       4
frozen              ∂log p/∂hidden, accumulated in the same single pass   2, none of them in the backward
no gradient         nothing                                               1
==================  ====================================================  ==================================
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ...contract.sizes import KEEP_BYTES
from .tiles import (
    TILE_WIDTH,
    Gradients,
    Head,
    LogitRule,
    Normalizer,
    again,
    compute_dtype,
    exponentials,
    joined,
    pick,
    reduce,
)

__all__ = ["LogitRule", "token_log_probs"]


def token_log_probs(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = None,
    rule: LogitRule | None = None,
    budget: int = KEEP_BYTES,
    width: int = TILE_WIDTH,
) -> Tensor:
    """Score each target under the head's distribution: log p ``[tokens]``, in nat.

    ``hidden`` is ``[tokens, H]``, ``weight`` ``[V, H]``, ``bias`` ``[V]``, ``targets`` ``[tokens]`` of ids.
    The result is float32, float64 for float64 input. Matrix products run in the dtype of ``hidden``
    (autocast's where that is on); reductions and sums over tiles in float32 (float64). ``budget`` is the most
    bytes kept for the backward, ``width`` a tile's share of the vocabulary.
    """
    compute = compute_dtype(hidden)
    rule, width = rule or LogitRule(), min(width, weight.shape[0])
    with torch.autocast(hidden.device.type, enabled=False):
        if not torch.is_grad_enabled():
            head = Head(weight, bias, rule, compute, width)
            chosen, normalizer = reduce(head, hidden.to(compute), targets, None)
            return normalizer.log_share(chosen, slice(None))
        result: Tensor = _TokenLogProbs.apply(hidden, weight, bias, targets, rule, compute, width, budget)
        return result


class _TokenLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        rule: LogitRule,
        compute: torch.dtype,
        width: int,
        budget: int,
    ) -> Tensor:
        head = Head(weight, bias, rule, compute, width)
        rows = hidden.to(compute)
        ctx.settings = (rule, compute, width)
        ctx.frozen = not any(ctx.needs_input_grad[1:3])
        if ctx.frozen and ctx.needs_input_grad[0]:
            result, slope = _differentiate(head, rows, targets)
            ctx.save_for_backward(slope.to(hidden.dtype))
            return result
        kept: list[Tensor] | None = [] if not ctx.frozen and head.fits(len(rows), budget) else None
        chosen, z = reduce(head, rows, targets, kept)
        ctx.save_for_backward(hidden, weight, bias, targets, chosen, z.highest, z.log_sum, *(kept or ()))
        return z.log_share(chosen, slice(None))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.frozen:
            (slope,) = ctx.saved_tensors
            return ((slope * upstream[:, None]).to(slope.dtype), *[None] * 7)
        hidden, weight, bias, targets, chosen, highest, log_sum, *kept = ctx.saved_tensors
        head = Head(weight, bias, *ctx.settings)
        sums = Gradients.start(head, hidden.to(head.compute), ctx.needs_input_grad[:3])
        upstream = upstream * head.rule.scale
        for rows, columns, e, factor in again(head, sums.hidden, Normalizer(highest, log_sum), kept):
            sums.add_tile(rows, columns, e, upstream[rows] * -factor)
        sums.add_targets(targets, upstream * head.rule.slope(chosen))
        return (*sums.as_dtypes(hidden, weight, bias), *[None] * 5)


def _differentiate(head: Head, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return log p and ∂log p/∂hidden in one pass, for a head that is not trained."""
    chosen = hidden.new_zeros(len(hidden), dtype=head.exact)
    result, slope = torch.empty_like(chosen), hidden.new_zeros(hidden.shape, dtype=head.exact)
    for rows in head.rows(len(hidden)):
        highest, total = torch.full_like(chosen[rows], float("-inf")), torch.zeros_like(chosen[rows])
        tops, totals = [], []
        for columns in head.columns():
            logits = head.logits(hidden[rows], columns)
            pick(chosen[rows], logits, targets[rows], columns)
            top, part, e = exponentials(head, logits)
            tops.append(top)
            totals.append(part)
            new = torch.maximum(highest, top)
            old_share, new_share = (highest - new).exp(), (top - new).exp()
            total = total * old_share + part * new_share
            slope[rows].mul_(old_share[:, None]).addcmul_(
                (e @ head.tile(columns)).to(head.exact), new_share[:, None]
            )
            highest = new
        result[rows] = Normalizer(*joined(tops, totals)).log_share(chosen[rows], slice(None))
        slope[rows].div_(-total[:, None])
    picked = head.weight[targets].to(head.exact)
    at_target = head.rule.slope(chosen)
    slope += picked if isinstance(at_target, float) else picked * at_target[:, None]
    return result, slope.mul_(head.rule.scale)

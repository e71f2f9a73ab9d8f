"""The log-probability of the likeliest next token."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import linear

from .tiles import LogitRule

__all__ = ["top_log_prob"]


def top_log_prob(
    hidden: Tensor, weight: Tensor, *, bias: Tensor | None = None, rule: LogitRule | None = None
) -> Tensor:
    """Compute max_v log p(v) of each token ``[tokens]``, in nat."""
    logits = (rule or LogitRule()).apply(linear(hidden, weight, bias))
    return logits.log_softmax(-1).amax(-1)

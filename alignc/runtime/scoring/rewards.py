"""Score whole responses with a reward model: the scalar head of a sequence classifier with one label."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...contract.outputs import Quantity
from ..kernels.attention import causal_lm
from .layout import Batch
from .scorer import hidden_states

__all__ = ["RewardScorer"]


class RewardScorer(nn.Module):
    """Wrap a sequence classifier with one label; a forward scores every response at its last token."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Return the `score` of every response ``[rows, k]`` in float64. The batch is one of rows with an end."""
        base = causal_lm(self.model)
        scored = hidden_states(base.base_model, batch)[last_of_responses(batch)]
        return {Quantity.SCORE: base.score(scored).squeeze(-1).double().view(batch.mask.shape[:2])}


def last_of_responses(batch: Batch) -> Tensor:
    """Tell which scored places are a response's last token ``[N]``: those that predict the place after it.

    Such a row has one more token than the response, which the response's last token predicts.
    """
    response = torch.div(batch.slots, batch.mask.shape[2], rounding_mode="floor")
    last = torch.ones_like(response, dtype=torch.bool)
    last[:-1] = response[1:] != response[:-1]
    return last

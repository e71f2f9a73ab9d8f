"""The model in training, and the models that stay beside it in memory."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ..models.ema import Kept
from .scorer import ReferenceModel

__all__ = ["TrainedPolicy"]


@dataclass(frozen=True, eq=False)
class TrainedPolicy:
    """The model in training, the scorers over it, and the models that sampled rows are compared with.

    ``scorer`` is the bare one: no engine wraps it, so that a rank may use it without the others. ``trained`` is the
    one that an engine wraps; it differs where the loss compares whole distributions with the reference's.
    """

    model: nn.Module
    scorer: nn.Module
    trained: nn.Module
    reference: ReferenceModel | None = None
    average: Kept | None = None
    """The moving average of the weights, where it is an anchor."""

    def update_average(self, decay: float | None) -> None:
        """Move the average, where there is one, after a step of the optimizer."""
        if self.average is not None and decay is not None:
            self.average.update(self.model, decay)

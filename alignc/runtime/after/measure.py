"""Measure a model on rows: sums of log-probabilities, and which response it prefers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ...contract.job import Model, Reference
from ..data.example import Example
from ..models.adapters import pretrained
from ..scoring.micro import BatchLayout
from ..scoring.probe import use
from ..scoring.reference import chunks
from ..scoring.scorer import Scorer
from ..scoring.trust import trusted

__all__ = ["Preference", "load_model", "preference", "sums"]


@dataclass(frozen=True)
class Preference:
    """How often the first response of a row is likelier than the second, and by how much on average (nat)."""

    accuracy: float
    margin: float
    rows: int


def sums(model: nn.Module, examples: Sequence[Example], pad_id: int = 0) -> np.ndarray:
    """Sum each response's token log-probabilities: [rows, k], float64, nat."""
    device = next(model.parameters()).device
    verdict = trusted(model, examples[:2])
    use(model, verdict)
    layout = BatchLayout(verdict.packed, pad_id, device, None, next(model.parameters()).dtype)
    scorer, chunk_sums = Scorer(model), []
    training = model.training
    model.eval()
    with torch.no_grad():
        for chunk in chunks(examples):
            chunk_sums.append(scorer(layout.batch(chunk)).double().sum(dim=2).cpu().numpy())
    model.train(training)
    return np.concatenate(chunk_sums)


def preference(model: nn.Module, examples: Sequence[Example], pad_id: int = 0) -> Preference:
    """Compare the first two responses of each row. A tie counts as half."""
    logps = sums(model, examples, pad_id)
    margins = logps[:, 0] - logps[:, 1]
    accuracy = float(((margins > 0) + 0.5 * (margins == 0)).mean())
    return Preference(accuracy, float(margins.mean()), len(margins))


def load_model(folder: str, *, dtype: str | None = None) -> nn.Module:
    """Read a trained model (an adapter is merged into its base) for measuring. Failures as in `pretrained`."""
    section = Model(policy=folder, reference=Reference("none"), dtype=dtype)
    return pretrained(folder, section).eval()

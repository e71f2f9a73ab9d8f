"""Batches of prompts: rows of like length together, padded on the left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["by_length", "device_of", "left_padded"]


def device_of(model: nn.Module) -> torch.device:
    """Give the device of a model's weights."""
    return next(model.parameters()).device


def by_length(prompts: Sequence[Any], size: int) -> Iterator[list[int]]:
    """Group prompts of like length, so that little is padded."""
    order = sorted(range(len(prompts)), key=lambda place: (len(prompts[place]), place))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def left_padded(rows: Sequence[Any], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Put rows into one tensor, padded on the left, with the mask of the real tokens."""
    longest = max(len(row) for row in rows)
    ids = np.full((len(rows), longest), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for line, row in enumerate(rows):
        ids[line, longest - len(row) :] = row
        mask[line, longest - len(row) :] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)

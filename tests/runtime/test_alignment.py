"""Weights lie in torch's own memory, wherever in a file they were read from: products round by alignment."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from alignc.runtime.models.load import own_memory, ready


def unaligned(shape: tuple[int, ...]) -> torch.Tensor:
    """A tensor that begins 8 bytes behind a place torch would choose."""
    count = torch.Size(shape).numel()
    return torch.arange(count + 1, dtype=torch.float64)[1:].view(shape)


def test_weights_are_moved_to_aligned_memory_and_stay_the_same() -> None:
    model = nn.Linear(4, 3, dtype=torch.float64)
    model.weight.data = unaligned((3, 4))
    before = model.weight.detach().clone()
    assert model.weight.data_ptr() % 64
    own_memory(model)
    assert all(p.data_ptr() % 64 == 0 for p in model.parameters())
    assert torch.equal(model.weight, before)


def test_a_model_is_ready_only_so() -> None:
    model: Any = nn.Linear(4, 3, dtype=torch.float64)
    model.weight.data = unaligned((3, 4))
    train = SimpleNamespace(dropout=True, activation_checkpointing=False, optim="sgd", bf16=None)
    launch = SimpleNamespace(mixed_precision=None)
    job: Any = SimpleNamespace(spec=SimpleNamespace(train=train, launch=launch))
    assert ready(model, job, torch.device("cpu")).weight.data_ptr() % 64 == 0  # type: ignore[operator,union-attr]

"""A replica in every process, whose gradients are summed once a step: torch alone."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ...contract.job import Job
from ..ranks.world import World
from .engine import SingleEngine
from .optim import build_optimizer

__all__ = ["TorchEngine"]


class TorchEngine(SingleEngine):
    """Every process has the whole model, and the gradients are summed over them before a step."""

    def __init__(self, job: Job, world: World, scorer: nn.Module, model: nn.Module) -> None:
        self.world, self.model, self.scorer = world, model, scorer
        self.limit = job.spec.train.max_grad_norm
        self.optimizer = build_optimizer(model.named_parameters(), job.spec.train)

    def accumulate(self, *, last: bool) -> AbstractContextManager[Any]:
        """Add up gradients in this process alone."""
        return nullcontext()

    def backward(self, share: Tensor, *, last: bool) -> None:
        """Back-propagate a share, and sum the gradients of all ranks with the last one."""
        share.backward()
        for parameter in self.model.parameters() if last else ():
            if parameter.requires_grad:
                gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                parameter.grad = self.world.sum(gradient)

    def close(self) -> None:
        """End torch's process group."""
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()

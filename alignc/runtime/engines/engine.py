"""Engines, which carry out gradient steps: one small interface over a single process, DDP and DeepSpeed.

Every engine gives the losses, gradient norms and weights that one process would give on the same global
batch. The loop hands it shares of the global loss; an engine's own averages over ranks are undone here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ...contract.engines import ACCELERATE, DEEPSPEED, ENGINES
from ...contract.job import Job
from ...contract.tables import look_up
from ..ranks.world import World
from .optim import build_optimizer, clip_factor

__all__ = ["Engine", "SingleEngine", "build_engine"]


class Engine(Protocol):
    """A model and its optimizer, spread over the ranks in one way or another."""

    scorer: nn.Module
    """The module to call for log-probabilities in training and evaluation, wrapped as the engine needs it."""

    def backward(self, share: Tensor, *, last: bool) -> None:
        """Add the gradient of a share of the global loss; ``last`` marks the step's last micro-batch."""

    def accumulate(self, *, last: bool) -> AbstractContextManager[Any]:
        """Surround a forward and backward; before the ``last`` one ranks need not exchange gradients."""

    def gradient_norm(self) -> float:
        """Give the norm of the global gradient, before clipping. The same on every rank."""

    def step(self, learning_rate: float) -> None:
        """Clip, update the weights at this learning rate, and forget the gradient."""

    def weights(self) -> dict[str, Tensor]:
        """Collect all weights by name in full precision; on rank 0 whole, elsewhere possibly empty."""

    def slots(self) -> dict[str, Tensor]:
        """Collect the optimizer's state as ``parameter/slot``; on rank 0 whole, elsewhere possibly empty."""

    def restore(self, weights: Mapping[str, Tensor], slots: Mapping[str, Tensor]) -> None:
        """Take over the results of ``weights`` and ``slots``, on every rank."""

    def close(self) -> None:
        """Leave the process group in order."""


def build_engine(job: Job, folder: Path, world: World, scorer: nn.Module, model: nn.Module) -> Engine:
    """Build the engine of a job; ``model`` is the network whose names the checkpoints bear.

    Raises Failure E806 for an engine that this runtime does not know.
    """
    row = look_up(ENGINES, job.spec.launch.engine, "engine")
    return BUILDERS[row.name](job, folder, world, scorer, model)


def build_zero(job: Job, folder: Path, world: World, scorer: nn.Module, model: nn.Module) -> Engine:
    """Build the engine of DeepSpeed, whose import takes seconds."""
    from .zero import ZeroEngine

    return ZeroEngine(job, folder, world, scorer, model)


class SingleEngine:
    """One process, or several with a replica each (DDP), through accelerate."""

    def __init__(self, job: Job, world: World, scorer: nn.Module, model: nn.Module) -> None:
        from accelerate import Accelerator, DistributedDataParallelKwargs

        self.world, self.model = world, model
        self.limit = job.spec.train.max_grad_norm
        self.optimizer = build_optimizer(model.named_parameters(), job.spec.train)
        replicas = DistributedDataParallelKwargs(gradient_as_bucket_view=True)
        self.accelerator = Accelerator(
            cpu=world.device.type == "cpu", mixed_precision="no", kwargs_handlers=[replicas]
        )
        self.scorer: nn.Module = self.accelerator.prepare_model(scorer)

    def accumulate(self, *, last: bool) -> AbstractContextManager[Any]:
        """Hold back the exchange of gradients until the last micro-batch."""
        return nullcontext() if last else self.accelerator.no_sync(self.scorer)

    def backward(self, share: Tensor, *, last: bool) -> None:
        """Back-propagate a share; DDP averages over ranks, which the factor undoes."""
        self.accelerator.backward(share * self.world.size)

    def gradient_norm(self) -> float:
        """Give the global gradient's norm."""
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        self.norm = float(torch.nn.utils.get_total_norm(gradients))
        return self.norm

    def step(self, learning_rate: float) -> None:
        """Clip by the norm that ``gradient_norm`` found, and update."""
        factor = clip_factor(self.norm, self.limit)
        if factor < 1.0:
            torch._foreach_mul_([p.grad for p in self.model.parameters() if p.grad is not None], factor)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def weights(self) -> dict[str, Tensor]:
        """Give the model's state."""
        return dict(self.model.state_dict())

    def slots(self) -> dict[str, Tensor]:
        """Give the optimizer's state by parameter name."""
        state = self.optimizer.state
        slots: dict[str, Tensor] = {}
        for name, parameter in self.model.named_parameters():
            slots |= {f"{name}/{slot}": torch.as_tensor(v) for slot, v in state.get(parameter, {}).items()}
        return slots

    def restore(self, weights: Mapping[str, Tensor], slots: Mapping[str, Tensor]) -> None:
        """Load the weights in place, and put the optimizer's state where it was."""
        load_weights(self.model, weights)
        named = dict(self.model.named_parameters())
        fused = bool(self.optimizer.defaults.get("fused"))
        for key, value in slots.items():
            name, slot = key.rsplit("/", 1)
            parameter = named[name]
            device = "cpu" if slot == "step" and not fused else parameter.device
            self.optimizer.state[parameter][slot] = value.to(device, copy=True)

    def close(self) -> None:
        """End accelerate's and torch's process groups.

        DDP goes first: as the group's last owner it would wait for the group's threads while holding Python's
        lock, and a thread that still has to let go of an exchange needs that lock.
        """
        del self.scorer
        self.accelerator.free_memory()
        self.accelerator.end_training()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


BUILDERS: Mapping[str, Callable[[Job, Path, World, nn.Module, nn.Module], Engine]] = {
    ACCELERATE.name: lambda job, folder, world, scorer, model: SingleEngine(job, world, scorer, model),
    DEEPSPEED.name: build_zero,
}


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy weights into a model by name; names it does not have are an error."""
    own = model.state_dict()
    with torch.no_grad():
        for name, value in weights.items():
            own[name].copy_(value)

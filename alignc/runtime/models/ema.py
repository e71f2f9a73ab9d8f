"""The policy of before, beside the policy: a snapshot of its weights, or their exponential moving average.

What is kept are the weights that are trained and that log-probabilities depend on: under LoRA the adapter's alone,
never the critic's or a value head's. They are no second model: to be scored they are lent to the policy itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...contract.failure import Failure
from ...contract.support import refusal
from .critic import parted

__all__ = ["EMA", "Kept", "averaged", "read_kept", "snapshot", "write_kept"]

EMA = "ema.safetensors"


@dataclass(frozen=True)
class Kept:
    """Weights of the policy by name, as they were or as they are on average; the same on every rank."""

    values: Mapping[str, Tensor]

    @torch.no_grad()
    def update(self, model: nn.Module, decay: float) -> None:
        """Move the average after a step of the optimizer: decay·average + (1 − decay)·weights."""
        for name, parameter in policy_weights(model).items():
            kept = self.values[name]
            kept.lerp_(parameter.detach().to(kept.dtype), 1 - decay)

    @contextmanager
    def lent(self, model: nn.Module) -> Iterator[None]:
        """Let the policy compute with these weights; afterwards it has its own again, bit for bit.

        For forwards without gradient, and around autocast, which remembers the weights that it has cast.
        """
        own = {name: (parameter, parameter.data) for name, parameter in policy_weights(model).items()}
        try:
            for name, (parameter, data) in own.items():
                parameter.data = self.values[name].to(data.dtype)
            yield
        finally:
            for parameter, data in own.values():
                parameter.data = data


def policy_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """List what is trained of the policy. Failure E605 where ZeRO 3 has spread it over the ranks."""
    weights = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and "value_head." not in name and name in parted({name: parameter})[0]
    }
    if any(hasattr(parameter, "ds_id") for parameter in weights.values()):
        raise refusal("ema_zero3").failure(reference="ema")
    return weights


def snapshot(model: nn.Module) -> Kept:
    """Keep the policy's weights as they are now."""
    return Kept({name: value.detach().clone() for name, value in policy_weights(model).items()})


def averaged(model: nn.Module) -> Kept:
    """Begin an average at the policy's weights, in float32 (float64): in less, a step would be lost to rounding."""
    wide = {
        name: value.detach().to(torch.promote_types(value.dtype, torch.float32), copy=True)
        for name, value in policy_weights(model).items()
    }
    return Kept(wide)


def write_kept(kept: Kept, folder: Path) -> None:
    """Write an average into a checkpoint's folder."""
    save_file({name: value.cpu().contiguous() for name, value in kept.values.items()}, folder / EMA)


def read_kept(model: nn.Module, folder: Path) -> Kept:
    """Read an average from a checkpoint's folder, for a model of the same weights. Failure E805 where it is not that.

    Tensors are copied out of the file's memory: where they lie decides how products round.
    """
    path = folder / EMA
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as problem:
        raise Failure("E805", f"cannot read the averaged weights: {problem}", file=str(path)) from problem
    own = policy_weights(model)
    if weights.keys() != own.keys():
        raise Failure("E805", "the averaged weights belong to another model", file=str(path))
    return Kept({name: weights[name].to(own[name].device, copy=True) for name in own})

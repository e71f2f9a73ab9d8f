"""Optimizers and learning-rate schedules; a schedule is a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from ...contract.job import Train
from ...contract.optimizers import (
    ADAFACTOR,
    ADAMW,
    BF16,
    EIGHT_BIT,
    FUSED,
    MUON,
    OPTIMIZERS,
    RMSPROP,
    SGD,
)
from ...contract.tables import look_up
from ..base.packages import require
from ..base.seeds import derive
from .muon import muon_and_adamw
from .stochastic import StochasticAdamW

__all__ = ["build_optimizer", "clip_factor", "decay_groups", "learning_rate", "warmup_steps"]


def build_optimizer(named: Iterable[tuple[str, nn.Parameter]], train: Train) -> torch.optim.Optimizer:
    """Build the optimizer of a job over its trainable parameters.

    Raises Failure E806 for an optimizer that this runtime does not know, E602 where its package is absent.
    """
    row = look_up(OPTIMIZERS, train.optim, "optimizer")
    if row.package is not None:
        require(row.package)
    return BUILDERS[row.name](list(named), train)


Named = list[tuple[str, nn.Parameter]]


def sgd(named: Named, train: Train) -> torch.optim.Optimizer:
    """Build stochastic gradient descent."""
    return torch.optim.SGD(decay_groups(named, train.weight_decay), lr=train.learning_rate)


def rmsprop(named: Named, train: Train) -> torch.optim.Optimizer:
    """Build RMSprop."""
    groups = decay_groups(named, train.weight_decay)
    return torch.optim.RMSprop(groups, lr=train.learning_rate, alpha=0.99, eps=train.adam_epsilon)


def adamw(named: Named, train: Train, *, fused: bool = False) -> torch.optim.Optimizer:
    """Build AdamW, as one fused kernel where torch has one for these parameters."""
    groups = decay_groups(named, train.weight_decay)
    return torch.optim.AdamW(groups, fused=fused and can_fuse(groups), **adam_settings(train))


def adam_settings(train: Train) -> dict[str, Any]:
    """Give rate, decay rates of the moments and epsilon, as every Adam takes them."""
    betas = (train.adam_beta1, train.adam_beta2)
    return {"lr": train.learning_rate, "betas": betas, "eps": train.adam_epsilon}


def adamw_8bit(named: Named, train: Train) -> torch.optim.Optimizer:
    """Build AdamW whose moments are kept in 8 bits, in blocks of 256 weights under a scale each."""
    from bitsandbytes.optim import AdamW8bit

    built: torch.optim.Optimizer = AdamW8bit(decay_groups(named, train.weight_decay), **adam_settings(train))
    return built


def adamw_stochastic(named: Named, train: Train) -> torch.optim.Optimizer:
    """Build AdamW on bfloat16 weights, with rounding at random."""
    groups = decay_groups(named, train.weight_decay)
    return StochasticAdamW(groups, seed=derive(train.seed, "rounding"), **adam_settings(train))


def adafactor(named: Named, train: Train) -> torch.optim.Optimizer:
    """Build Adafactor: of a matrix's second moments it keeps the sums of rows and of columns."""
    return torch.optim.Adafactor(decay_groups(named, train.weight_decay), lr=train.learning_rate)


def muon(named: Named, train: Train) -> torch.optim.Optimizer:
    """Build Muon for the matrices inside the network, and AdamW for embeddings, heads, norms and biases."""
    return muon_and_adamw(named, train, decay_groups)


BUILDERS: Mapping[str, Callable[[Named, Train], torch.optim.Optimizer]] = {
    FUSED.name: lambda named, train: adamw(named, train, fused=True),
    ADAMW.name: adamw,
    EIGHT_BIT.name: adamw_8bit,
    BF16.name: adamw_stochastic,
    ADAFACTOR.name: adafactor,
    MUON.name: muon,
    RMSPROP.name: rmsprop,
    SGD.name: sgd,
}


def decay_groups(named: Iterable[tuple[str, nn.Parameter]], decay: float) -> list[dict[str, Any]]:
    """Split parameters: matrices decay, biases and norms (one axis or none) do not."""
    trainable = [p for _, p in named if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.dim() >= 2], "weight_decay": decay},
        {"params": [p for p in trainable if p.dim() < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def can_fuse(groups: list[dict[str, Any]]) -> bool:
    """Tell whether torch has a fused kernel for these parameters."""
    kinds = {(p.device.type, p.is_floating_point()) for group in groups for p in group["params"]}
    return kinds in ({("cpu", True)}, {("cuda", True)})


def warmup_steps(train: Train, total: int) -> int:
    """Resolve ``warmup_steps``: below 1 it is a share of all steps."""
    asked = train.warmup_steps
    return math.ceil(asked * total) if 0 < asked < 1 else int(asked)


def learning_rate(train: Train, step: int, total: int) -> float:
    """Give the learning rate of a step's update (steps from 1), as transformers' schedules do."""
    done, warmup = step - 1, warmup_steps(train, total)
    kind = train.lr_scheduler_type
    if kind == "inverse_sqrt":
        return train.learning_rate * inverse_sqrt(done, warmup)
    if kind != "constant" and done < warmup:
        return train.learning_rate * done / max(1, warmup)
    left = max(1, total - warmup)
    if kind == "linear":
        return train.learning_rate * max(0.0, (total - done) / left)
    if kind == "cosine":
        return train.learning_rate * max(0.0, 0.5 * (1 + math.cos(math.pi * (done - warmup) / left)))
    return train.learning_rate


def inverse_sqrt(done: int, warmup: int) -> float:
    """Fall with the root of the step; without a warm-up the time scale is 10,000 steps."""
    if done < warmup:
        return done / max(1, warmup)
    scale = warmup or 10_000
    return 1.0 / math.sqrt((done + scale - warmup) / scale)


def clip_factor(norm: float, limit: float | None) -> float:
    """Give the factor that brings a gradient of this norm within the limit (0 or None: no limit)."""
    return min(1.0, limit / (norm + 1e-6)) if limit else 1.0

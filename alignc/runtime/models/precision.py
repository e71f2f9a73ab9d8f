"""Number formats: what weights are trained in, computed in, and written in.

A weight that is trained has at least 24 significant bits. A bfloat16 weight of 0.02 has neighbours 1.2e-4 apart, so a
step of 1e-6 would be rounded away. The arithmetic of a forward may still be bfloat16, and so may the file at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...contract.failure import Failure
from ...contract.job import Job
from ...contract.optimizers import OPTIMIZERS
from ...contract.support import ABSENT
from ...contract.tables import look_up

__all__ = ["DTYPES", "NARROW", "autocast_dtype", "rounding_loss", "widen"]

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
NARROW = (torch.bfloat16, torch.float16)


def widen(model: nn.Module, job: Job) -> None:
    """Turn narrow weights that are trained into float32; weights that an adapter leaves as they are stay narrow.

    Everything becomes float32 where the spec asks for products in float32. `adamw_bf16_stochastic` trains bfloat16.
    """
    if not look_up(OPTIMIZERS, job.spec.train.optim, "optimizer").wide:
        narrow_all(model)
        return
    exact = asked_precision(job) == "no"
    for parameter in model.parameters():
        if parameter.dtype in NARROW and (parameter.requires_grad or exact):
            parameter.data = parameter.data.float()


def narrow_all(model: nn.Module) -> None:
    """Turn all weights into bfloat16; buffers, such as the frequencies of positions, keep their bits."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(torch.bfloat16)


def asked_precision(job: Job) -> str | None:
    """Give what the spec says of the products' precision: `bf16`, `no`, or None where it says nothing.

    Failure E605 for a type that no job trains in.
    """
    asked = job.spec.launch.mixed_precision
    if absent := ABSENT.get(("launch.mixed_precision", str(asked))):
        why, help_ = absent
        raise Failure("E605", f"`mixed_precision: {asked}` is not supported", why=why, help=help_)
    if asked is not None or job.spec.train.bf16 is None:
        return asked
    return "bf16" if job.spec.train.bf16 else "no"


def autocast_dtype(job: Job, model: nn.Module, device: torch.device) -> torch.dtype | None:
    """Give the type that matrix products are computed in, where that is not the weights' own.

    Without a word in the spec it is bfloat16 on a GPU that has it, where the spec asks for `dtype: bfloat16`, and where
    weights of both widths meet, as under an adapter on a bfloat16 model. It is float32 elsewhere.
    """
    asked = asked_precision(job)
    if asked is not None:
        return torch.bfloat16 if asked == "bf16" else None
    if not look_up(OPTIMIZERS, job.spec.train.optim, "optimizer").wide:
        return None
    dtypes = {parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()}
    if job.spec.model.dtype == "bfloat16" or (torch.bfloat16 in dtypes and len(dtypes) > 1):
        return torch.bfloat16
    has_it = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if job.spec.model.dtype is None and has_it else None


def rounding_loss(start: Mapping[str, Tensor], trained: Mapping[str, Tensor], dtype: torch.dtype) -> float:
    """Compare what rounding would change with what training changed: ‖round(w) − w‖ / ‖w − w₀‖.

    0 where nothing is lost. For example, a step from 0.02 to 0.0201 is rounded to 0.02014: 0.4 of the step.
    """
    error = moved = 0.0
    for before, after in pairs(start, trained):
        error += float((after.to(dtype).double() - after).square().sum())
        moved += float((after - before).square().sum())
    return (error / moved) ** 0.5 if moved else 0.0


def pairs(start: Mapping[str, Tensor], trained: Mapping[str, Tensor]) -> Iterator[tuple[Any, Any]]:
    """Pair the tensors of two states by name, each of several that are tied once, in float64."""
    seen: set[int] = set()
    for name, after in trained.items():
        before = start.get(name)
        if id(after) in seen or before is None or not after.is_floating_point():
            continue
        seen.add(id(after))
        yield before.detach().cpu().double(), after.detach().cpu().double()

"""Run an emitted `loss.py` on padded tensors, whole or split into micro-batches."""

from __future__ import annotations

import types
from typing import Any

import torch
from torch import Tensor

from alignc.api import Compiled

from .batches import Numbers, totals

__all__ = ["loss_module", "run_split", "statistics_of", "tensors", "uneven"]


def loss_module(compiled: Compiled) -> types.ModuleType:
    """Import the emitted loss from its text."""
    made = types.ModuleType("loss")
    exec(compile(compiled.folder().files["loss.py"], "loss.py", "exec"), made.__dict__)
    return made


def tensors(drawn: Numbers, places: list[int], extra: int = 0) -> dict[str, Tensor]:
    """Pad some rows of a batch to their longest response, and `extra` more; log-probabilities are 0 there."""
    batch = {}
    for name, rows in drawn.items():
        mine = [rows[i] for i in places]
        model, _, response = name.partition("/")
        by_token = model != "column" or len(uneven(mine)) == 3
        batch[name] = filled(mine, extra if by_token else 0)
        if model == "policy":
            batch[f"mask/{response}"] = filled(ones(mine), extra).bool()
        if model in ("policy", "value", "score", "token_value", "entropy", "divergence"):
            batch[name].requires_grad_()
    return batch


def ones(value: Any) -> Any:
    """Replace every number by 1."""
    return [ones(v) for v in value] if isinstance(value, list) else 1.0


def uneven(value: Any) -> list[int]:
    """Find the shape that holds ragged lists."""
    if not isinstance(value, list):
        return []
    inner = [uneven(v) for v in value]
    return [len(value), *(max(sizes) for sizes in zip(*inner, strict=True))]


def filled(rows: list[Any], extra: int) -> Tensor:
    """Lay ragged lists into one float64 tensor, zeros where they end."""
    shape = uneven(rows)
    if len(shape) > 1:
        shape[-1] += extra
    whole = torch.zeros(shape, dtype=torch.float64)
    _fill(whole, rows)
    return whole


def _fill(into: Tensor, value: list[Any]) -> None:
    for place, inner in enumerate(value):
        if isinstance(inner, list):
            _fill(into[place], inner)
        else:
            into[place] = inner


def statistics_of(compiled: Compiled, module: types.ModuleType, drawn: Numbers) -> dict[str, Tensor]:
    """Compute a global batch's statistics in one go: means, or for each row the value of its rank."""
    kinds = compiled.needs.statistics
    if not kinds:
        return {}
    with torch.no_grad():
        rows = module.statistics(tensors(drawn, list(range(len(next(iter(drawn.values())))))))
    known = {}
    for key, kind in kinds.items():
        if kind == "matched":
            argument, like = rows[key].unbind(-1)
            known[key] = torch.empty_like(argument)
            known[key][like.argsort()] = argument.sort().values
        else:
            known[key] = rows[key].mean()
    return known


def run_split(
    compiled: Compiled, drawn: Numbers, splits: list[list[int]], extra: int = 0
) -> tuple[float, dict[str, float], dict[str, Tensor]]:
    """Add up the shares of micro-batches: the loss, every metric, and the gradients by row, padded alike."""
    module = loss_module(compiled)
    counted = totals(drawn, compiled.needs.totals)
    known = statistics_of(compiled, module, drawn)
    loss, metrics, gradients = 0.0, dict.fromkeys(compiled.needs.metrics, 0.0), {}
    for number, places in enumerate(splits):
        batch = tensors(drawn, places, extra * number)
        for key, value in known.items():
            batch[f"statistic/{key}"] = value if value.dim() == 0 else value[places]
        share, logged = module.loss(batch, counted)
        assert share.dtype == torch.float64
        assert logged.keys() == metrics.keys()
        share.backward()
        loss += share.item()
        metrics = {name: value + float(logged[name]) for name, value in metrics.items()}
        for name, tensor in batch.items():
            if tensor.is_leaf and tensor.grad is not None:
                whole = gradients.setdefault(name, torch.zeros(uneven(drawn[name]), dtype=torch.float64))
                for row, place in enumerate(places):
                    kept = tensor.grad[row][tuple(slice(0, s) for s in whole[place].shape)]
                    whole[place][tuple(slice(0, s) for s in kept.shape)] = kept
    return loss, metrics, gradients

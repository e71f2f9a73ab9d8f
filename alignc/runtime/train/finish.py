"""The end of a run: the final model beside its tokenizer and card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ...contract.files import CHECKPOINTS, JOB, MODEL, checkpoint_name
from ..base import fsops
from ..data import Counts
from ..models.critic import CRITIC
from ..models.load import save_model
from ..ranks.run import Run
from .card import card_text
from .checkpoint import TrainerState
from .metrics import METRICS, parsed

__all__ = ["deterministic", "write_model"]


def deterministic() -> None:
    """Ask torch for the same bits every time, where it has a way; on CPU it always has."""
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def write_model(
    run: Run,
    model: nn.Module,
    weights: Mapping[str, Tensor],
    tokenizer: Any,
    state: TrainerState,
    counts: Counts,
) -> Path:
    """Write `OUTPUT/model` in one step: the best checkpoint's weights where one was chosen, else the last."""
    output = run.job.output_dir
    aside, target = output / f".{MODEL}.tmp", output / MODEL
    fsops.make_folder(aside)
    save_model(model, in_own_type(model, weights), tokenizer, aside)
    if state.best is not None and state.best["step"] != state.step:
        take_weights(output / CHECKPOINTS / checkpoint_name(int(state.best["step"])), aside, model)
    spec = json.loads((run.folder / JOB).read_text(encoding="utf-8"))["spec"]
    fsops.write_text(aside / "README.md", card_text(run.job, counts, last_row(output / METRICS), spec))
    fsops.sync_tree(aside)
    fsops.remove(target)
    fsops.rename(aside, target)
    return target


def in_own_type(model: Any, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give weights the type that the model computes in; checkpoints may hold them wider."""
    made: dict[int, Tensor] = {}
    for value in weights.values():
        made[id(value)] = value.to(model.dtype) if value.is_floating_point() else value
    return {name: made[id(value)] for name, value in weights.items()}


def take_weights(source: Path, target: Path, model: Any) -> None:
    """Replace a folder's weights by a checkpoint's."""
    for old in target.glob("*.safetensors*"):
        old.unlink()
    for path in source.glob("*.safetensors*"):
        if path.name.startswith(("model", "adapter", "value_head")):
            copy_weights(path, target / path.name, model)
    if (source / CRITIC).is_dir():
        take_weights(source / CRITIC, target / CRITIC, model)


def copy_weights(path: Path, target: Path, model: Any) -> None:
    """Copy one file of weights in the model's type; an index is copied as it is."""
    from safetensors.torch import save_file

    if path.suffix != ".safetensors":
        target.write_bytes(path.read_bytes())
        return
    save_file(in_own_type(model, load_file(path)), target, metadata={"format": "pt"})


def last_row(path: Path) -> dict[str, float]:
    """Read the last whole line of the metrics."""
    rows = [parsed(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return next((row for row in reversed(rows) if row is not None), {})

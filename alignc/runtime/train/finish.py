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
from ...contract.job import Job
from ...contract.optimizers import OPTIMIZERS
from ...contract.tables import look_up
from ..base import fsops
from ..base.console import say
from ..data import Counts
from ..models.adapters import is_adapted
from ..models.critic import CRITIC
from ..models.load import initial_model, save_model
from ..models.precision import NARROW, rounding_loss
from ..models.start import stored_dtype
from ..ranks.run import Run
from .card import card_text
from .checkpoint import TrainerState
from .metrics import METRICS, parsed

ROUNDED = 0.1
"""The final weights keep the checkpoint's narrow type where rounding changes less than this share of the training."""

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
    dtype = final_dtype(run.job, model, weights, tokenizer)
    save_model(model, in_type(weights, dtype), tokenizer, aside)
    if state.best is not None and state.best["step"] != state.step:
        take_weights(output / CHECKPOINTS / checkpoint_name(int(state.best["step"])), aside, dtype)
    name_dtype(aside, dtype)
    spec = json.loads((run.folder / JOB).read_text(encoding="utf-8"))["spec"]
    fsops.write_text(aside / "README.md", card_text(run.job, counts, last_row(output / METRICS), spec))
    fsops.sync_tree(aside)
    fsops.remove(target)
    fsops.rename(aside, target)
    return target


def final_dtype(
    job: Job, model: nn.Module, weights: Mapping[str, Tensor], tokenizer: Any
) -> torch.dtype | None:
    """Choose the type of the final weights: the checkpoint's own, if that does not round away what was trained.

    None leaves every tensor as it is: an adapter is small, and peft keeps it in float32. A type that the spec names is
    obeyed; what it costs is said.
    """
    section = job.spec.model
    if is_adapted(model):
        return None
    dtype = stored_dtype(section)
    if dtype not in NARROW or not look_up(OPTIMIZERS, job.spec.train.optim, "optimizer").wide:
        return dtype if dtype not in NARROW else torch.bfloat16
    start = initial_model(job, tokenizer, critic=False).state_dict()
    lost, name = rounding_loss(start, weights, dtype), str(dtype).removeprefix("torch.")
    if lost <= ROUNDED or section.dtype is not None:
        say(f"the final weights are {name}: rounding changes them by {lost:.1%} of what training changed")
        return dtype
    say(
        f"the final weights stay float32: rounded to {name} they would change by {lost:.0%} of what training changed; "
        f"`model.dtype: {name}` or `alignc export --dtype {name}` rounds them all the same"
    )
    return torch.float32


def in_type(weights: Mapping[str, Tensor], dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Give weights another type, tied ones once; None leaves them as they are."""
    made: dict[int, Tensor] = {}
    for value in weights.values():
        made[id(value)] = value.to(dtype) if dtype and value.is_floating_point() else value
    return {name: made[id(value)] for name, value in weights.items()}


def name_dtype(folder: Path, dtype: torch.dtype | None) -> None:
    """Write the type into the folder's configurations, which transformers fills in with the model's own."""
    if dtype is None:
        return
    for path in (folder / "config.json", folder / CRITIC / "config.json"):
        if path.is_file():
            config = json.loads(path.read_text(encoding="utf-8"))
            fsops.write_text(path, json.dumps(named_type(config, dtype), indent=2, sort_keys=True) + "\n")


def named_type(config: Any, dtype: torch.dtype) -> Any:
    """Replace `dtype` in a configuration and in those inside it."""
    if not isinstance(config, dict):
        return config
    name = str(dtype).removeprefix("torch.")
    return {key: name if key == "dtype" else named_type(value, dtype) for key, value in config.items()}


def take_weights(source: Path, target: Path, dtype: torch.dtype | None) -> None:
    """Replace a folder's weights by a checkpoint's."""
    for old in target.glob("*.safetensors*"):
        old.unlink()
    for path in source.glob("*.safetensors*"):
        if path.name.startswith(("model", "adapter", "value_head")):
            copy_weights(path, target / path.name, dtype)
    if (source / CRITIC).is_dir():
        take_weights(source / CRITIC, target / CRITIC, dtype)


def copy_weights(path: Path, target: Path, dtype: torch.dtype | None) -> None:
    """Copy one file of weights in a type; an index is copied as it is."""
    from safetensors.torch import save_file

    if path.suffix != ".safetensors":
        target.write_bytes(path.read_bytes())
        return
    save_file(in_type(load_file(path), dtype), target, metadata={"format": "pt"})


def last_row(path: Path) -> dict[str, float]:
    """Read the last whole line of the metrics."""
    rows = [parsed(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return next((row for row in reversed(rows) if row is not None), {})

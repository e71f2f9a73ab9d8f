"""A value head on the policy's trunk: one number of the prompt, kept beside the model in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..kernels.attention import causal_lm

__all__ = ["VALUE_HEAD", "with_value_head", "write_value_head"]

VALUE_HEAD = "value_head.safetensors"


def with_value_head(model: nn.Module, folder: Path | None = None) -> nn.Module:
    """Put a value head on a model: zero, so that every value starts at 0, or as a checkpoint's folder has it."""
    base = causal_lm(model)
    head = nn.Linear(base.config.get_text_config().hidden_size, 1, dtype=base.dtype)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    if folder is not None:
        head.load_state_dict(load_file(folder / VALUE_HEAD))
    base.value_head = head
    return model


def write_value_head(weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write the value head where a model has one."""
    own = {
        name.rpartition("value_head.")[2]: value for name, value in weights.items() if "value_head." in name
    }
    if own:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in own.items()}, folder / VALUE_HEAD
        )

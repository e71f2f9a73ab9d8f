"""Models as they are made: from a configuration and a seed, or read as `from_pretrained` reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from ...contract.failure import Failure
from ...contract.job import Model
from ..base.endings import end_ids
from ..base.hub import offline_unless_reachable
from .precision import DTYPES
from .quantized import with_exact_layers

__all__ = ["auto_class", "first_line", "from_config", "read_folder", "saved_dtype", "seeded"]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from a seed of our own, and leave torch's generator as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def from_config(
    policy: Mapping[str, Any], section: Model, tokenizer: Any, seed: int, *, rewards: bool = False
) -> nn.Module:
    """Make a model of an architecture with seeded weights; vocabulary and special ids are the tokenizer's."""
    from transformers import AutoConfig

    fields = {key: value for key, value in policy.items() if key not in ("init", "tokenizer")}
    ids: dict[str, Any] = {
        f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")
    }
    ends = [end for end in end_ids(tokenizer) if end < len(tokenizer)]
    if len(ends) > 1:
        ids["eos_token_id"] = ends
    config = AutoConfig.for_model(policy["init"], **({"vocab_size": len(tokenizer)} | ids | fields))
    dtype = DTYPES[section.dtype or "float32"]
    if rewards:
        config.num_labels = 1
    with seeded(seed):
        model: nn.Module = auto_class(rewards).from_config(
            config, dtype=dtype, **attention(section.attn_implementation)
        )
    return model


def auto_class(rewards: bool) -> Any:
    """Pick the class that reads and makes models: with an LM head, or with a scalar head for rewards."""
    import transformers

    return transformers.AutoModelForSequenceClassification if rewards else transformers.AutoModelForCausalLM


def attention(name: str | None) -> dict[str, Any]:
    """Give the keyword that picks an attention implementation, where the spec picks one."""
    return {} if name is None else {"attn_implementation": name}


def read_folder(
    source: str,
    section: Model,
    dtype: torch.dtype | None = None,
    *,
    rewards: bool = False,
    quantization: Any = None,
) -> nn.Module:
    """Call `from_pretrained`, and turn what it raises into a diagnostic. A new scalar head is drawn at random.

    The weights get ``dtype``, else the type that the spec names, else their own. ``quantization`` is what bitsandbytes
    is told, where it keeps the weights in few bits.
    """
    named = DTYPES[section.dtype] if section.dtype else "auto"
    local = Path(source).exists()
    reachable = local or (not Path(source).is_absolute() and offline_unless_reachable())
    try:
        model: nn.Module = auto_class(rewards).from_pretrained(
            source,
            **({"num_labels": 1} if rewards else {}),
            **({} if quantization is None else {"quantization_config": quantization}),
            dtype=dtype or named,
            revision=None if local else section.revision,
            local_files_only=not reachable,
            trust_remote_code=section.trust_remote_code,
            **attention(section.attn_implementation),
        )
    except Exception as problem:  # from_pretrained raises what its many parts raise
        raise trouble(source, problem, local, reachable) from problem
    return with_exact_layers(model)


def trouble(source: str, problem: Exception, local: bool, reachable: bool) -> Failure:
    """Say what is wrong with a model's source."""
    if local:
        return broken_folder(source, problem)
    if not Path(source).is_absolute():
        return unknown_id(source, problem, reachable)
    return Failure(
        "E703",
        f"there is no folder `{source}` to read a model from",
        help="if another spec trains this model, run that spec first: `alignc run FIRST SECOND`",
    )


def unknown_id(source: str, problem: Exception, reachable: bool) -> Failure:
    """Say that a model id cannot be fetched, and what to do."""
    offline = "the hub cannot be reached, and the local cache does not hold the model"
    return Failure(
        "E601",
        f"cannot load the model `{source}`",
        why=first_line(problem) if reachable else offline,
        help="check the name and the network, or download the model on another machine "
        f"(`hf download {source} --local-dir DIR`) and set `model.policy` to that folder",
    )


def broken_folder(source: str, problem: Exception) -> Failure:
    """Say that a folder is not a model."""
    return Failure(
        "E703",
        f"cannot read a model from the folder `{source}`",
        why=first_line(problem),
        help="the folder needs config.json and model.safetensors, as `save_pretrained` writes them",
        file=source,
    )


def first_line(problem: Exception) -> str:
    """Take the first line of what an exception says."""
    return (str(problem).strip().splitlines() or [type(problem).__name__])[0]


def saved_dtype(folder: Path) -> torch.dtype:
    """Read the type of the weights that a folder really holds: checkpoints may be wider than their config."""
    with safe_open(sorted(folder.glob("model*.safetensors"))[0], framework="pt") as file:
        dtype: torch.dtype = file.get_tensor(next(iter(file.keys()))).dtype
        return dtype

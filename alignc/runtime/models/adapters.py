"""Adapters of PEFT's: found beside a model, put on one, and merged into it.

Merging adds the update to the weights in float32 at the least and rounds once. Embeddings that were tied to the LM
head and that the adapter changes on one side only are untied first: merged into the shared weight, the update would
change the other side too.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...contract.adapters import ADAPTER_CONFIG, ALL_LINEAR, changes_base
from ...contract.failure import Failure
from ...contract.job import Adapter, Model
from ..base.hub import offline_unless_reachable
from ..kernels.attention import causal_lm
from .quantized import dequantized, is_quantized, quantization_in
from .read import first_line, read_folder, seeded

__all__ = [
    "base_of",
    "config_of",
    "holds_adapter",
    "is_adapted",
    "merged",
    "of_base",
    "pretrained",
    "read_adapter",
    "settings_of",
    "with_adapter",
]


def pretrained(source: str, section: Model, *, rewards: bool = False) -> nn.Module:
    """Read a whole model from a folder or the hub. An adapter is merged into its base, which is read too.

    Failure E601 for an id that cannot be fetched, E703 for a broken folder.
    """
    if not holds_adapter(source, section.revision):
        return read_folder(source, section, rewards=rewards)
    base = read_folder(
        base_of(source, section.revision),
        of_base(section),
        rewards=rewards,
        quantization=quantization_in(source),
    )
    return merged(read_adapter(base, source, section.revision))


def of_base(section: Model) -> Model:
    """Give the settings for the base of an adapter: a revision is that of the adapter."""
    return dataclasses.replace(section, revision=None)


def holds_adapter(source: str, revision: str | None = None) -> bool:
    """Tell whether a folder or an id of the hub holds an adapter instead of a whole model."""
    if Path(source).exists() or Path(source).is_absolute():
        return (Path(source) / ADAPTER_CONFIG).is_file()
    return on_hub(source, revision)


@lru_cache(maxsize=64)
def on_hub(source: str, revision: str | None) -> bool:
    """Ask the hub, or the local cache of it, whether an id holds an adapter; what cannot be fetched holds none."""
    from transformers.utils.peft_utils import find_adapter_config_file

    try:
        reachable = offline_unless_reachable()
        return find_adapter_config_file(source, revision=revision, local_files_only=not reachable) is not None
    except (OSError, ValueError):
        return False


def base_of(source: str, revision: str | None = None) -> str:
    """Name the base of an adapter. A base that a run wrote is also found beside the run's model, once moved."""
    config = config_of(source, revision)
    named = config.base_model_name_or_path
    if not named:
        raise Failure(
            "E703",
            f"the adapter in `{source}` does not name its base model",
            why=f"`base_model_name_or_path` in {ADAPTER_CONFIG} is empty",
            help="write the name or the folder of the base model into this field",
            file=source,
        )
    beside = Path(source).parent / Path(named).name
    moved = Path(named).is_absolute() and not Path(named).exists() and (beside / "config.json").is_file()
    return str(beside) if moved else str(named)


def config_of(source: str, revision: str | None = None) -> Any:
    """Read the settings of an adapter. Failure E703 where PEFT cannot read them."""
    from peft import PeftConfig

    try:
        return PeftConfig.from_pretrained(source, **({"revision": revision} if revision else {}))
    except Exception as problem:  # PEFT raises what its many parts raise
        raise unreadable(source, problem) from problem


def read_adapter(
    base: nn.Module, source: str, revision: str | None = None, *, trained: bool = False
) -> nn.Module:
    """Put an adapter on its base. Failure E703 where the two do not fit, E607 for a kind that cannot be merged."""
    from peft import PeftModel

    options = {} if revision is None or Path(source).exists() else {"revision": revision}
    try:
        model: nn.Module = PeftModel.from_pretrained(base, source, is_trainable=trained, **options)
    except Exception as problem:  # PEFT raises what its many parts raise
        raise unreadable(source, problem) from problem
    if not hasattr(model.base_model, "merge_and_unload"):
        kind = config_of(source, revision).peft_type.value
        raise Failure(
            "E607",
            f"the adapter in `{source}` is of the kind {kind}, which has no weights to merge",
            why="alignc goes on from adapters that change weights, such as LoRA",
            help="train a LoRA adapter, or set `model.policy` to a whole model",
        )
    return model


def unreadable(source: str, problem: Exception) -> Failure:
    """Say that an adapter cannot be put on its base."""
    return Failure(
        "E703",
        f"cannot read the adapter in `{source}`",
        why=first_line(problem),
        help="the folder needs adapter_config.json and adapter_model.safetensors, as PEFT's `save_pretrained` "
        "writes them, and the base model that they were trained on",
        file=source if Path(source).exists() else None,
    )


def with_adapter(
    model: nn.Module, adapter: Adapter, seed: int, *, base: str, rewards: bool = False
) -> nn.Module:
    """Put a seeded low-rank adapter on a model whose own weights stay as they are.

    ``base`` is the folder that will be named as the adapter's base. Failure E607 where the settings do not fit the
    model.
    """
    from peft import LoraConfig, get_peft_model

    try:
        config = LoraConfig(
            r=adapter.r,
            lora_alpha=adapter.alpha,  # PEFT only multiplies by it
            lora_dropout=adapter.dropout,
            target_modules=targets(adapter.target_modules),
            rank_pattern=dict(adapter.rank_pattern),
            use_rslora=adapter.use_rslora,
            use_dora=adapter.use_dora,
            init_lora_weights=adapter.init_lora_weights,
            modules_to_save=list(adapter.modules_to_save) or None,
            task_type="SEQ_CLS" if rewards else "CAUSAL_LM",
        )
        with seeded(seed):
            adapted: Any = get_peft_model(model, config)
    except (ValueError, TypeError, NotImplementedError, RuntimeError, re.error) as problem:
        raise misfit(problem) from problem
    absent = [name for name in adapter.modules_to_save if not saves(adapted, name)]
    if absent:
        raise misfit(ValueError(f"the model has no module `{absent[0]}` for `modules_to_save`"))
    settings = adapted.peft_config["default"]
    settings.base_model_name_or_path = base
    if changes_base(adapter.init_lora_weights):
        settings.init_lora_weights = True  # done: a reader must not do it again
    return adapted


def targets(asked: str | list[str]) -> str | list[str]:
    """Give the target modules as PEFT takes them: to it, a name alone would be a pattern of whole paths."""
    name = isinstance(asked, str) and asked != ALL_LINEAR and re.fullmatch(r"[\w.]+", asked)
    return [str(asked)] if name else asked


def saves(model: nn.Module, name: str) -> bool:
    """Tell whether a module of this name is trained whole."""
    return any(
        path.endswith((f".{name}", f".{name}.modules_to_save")) and hasattr(module, "modules_to_save")
        for path, module in model.named_modules()
    )


def misfit(problem: Exception) -> Failure:
    """Say that the settings of an adapter do not fit the model."""
    return Failure(
        "E607",
        "`model.adapter` does not fit the policy",
        why=first_line(problem),
        help="see the module names of the model with `print(model)`, and correct `model.adapter`",
    )


def is_adapted(model: nn.Module) -> bool:
    """Tell whether a model carries an adapter of peft's."""
    return hasattr(model, "peft_config") and hasattr(model, "get_base_model")


@torch.no_grad()
def merged(model: Any, dtype: torch.dtype | None = None) -> nn.Module:
    """Merge an adapter into its base, in float32 at the least, and round once: to ``dtype``, or to each weight's own.

    All weights can be trained then.
    """
    if not is_adapted(model):
        return model
    if is_quantized(model):
        model = on_numbers(model)
    base = causal_lm(model)
    own = {plain_name(name): value.dtype for name, value in all_named(base)}
    part_tied(base)
    for parameter in base.parameters():
        parameter.data = parameter.data.to(torch.promote_types(parameter.dtype, torch.float32))
    whole: Any = model.merge_and_unload()
    for name, parameter in all_named(whole):
        parameter.data = parameter.data.to(dtype or own[name])
        parameter.requires_grad_(True)
    note_untied(whole)
    return whole


def on_numbers(model: Any) -> Any:
    """Put the adapter of a model on its base as numbers instead of codes. The model is used up."""
    from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict

    settings, factors = model.peft_config["default"], get_peft_model_state_dict(model)
    kind = type(model)
    plain = kind(dequantized(model.unload()), settings) if issubclass(kind, PeftModel) else model
    set_peft_model_state_dict(plain, factors)
    return plain


def part_tied(base: Any) -> None:
    """Give the LM head a weight of its own where the adapter changes the head or the embeddings that it is tied to."""
    ends = [base.get_input_embeddings(), base.get_output_embeddings()]
    if any(end is None for end in ends) or not any(is_changed(end) for end in ends):
        return
    plain = [bare(end) for end in ends]
    if plain[0].weight is plain[1].weight:
        plain[1].weight = nn.Parameter(plain[1].weight.detach().clone(), requires_grad=False)


def note_untied(model: Any) -> None:
    """Write into a model's configuration that its embeddings are not tied, where they are not any more."""
    ends = [model.get_input_embeddings(), model.get_output_embeddings()]
    if None not in ends and ends[0].weight is not ends[1].weight:
        for config in (model.config, model.config.get_text_config()):
            if getattr(config, "tie_word_embeddings", False):
                config.tie_word_embeddings = False
                model.all_tied_weights_keys = {}


def all_named(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """List the parameters of a model; one with two names, as tied embeddings have, stands under both."""
    return list(model.named_parameters(remove_duplicate=False))


def plain_name(name: str) -> str:
    """Give the name that a weight has without an adapter around its module."""
    for around in (".base_layer.", ".original_module."):
        name = name.replace(around, ".")
    return name


def is_changed(module: nn.Module) -> bool:
    """Tell whether an adapter changes a module."""
    return hasattr(module, "base_layer") or hasattr(module, "original_module")


def bare(module: Any) -> Any:
    """Return a module without what an adapter put around it."""
    return getattr(module, "base_layer", None) or getattr(module, "original_module", None) or module


def settings_of(model: Any) -> Mapping[str, Any]:
    """Give everything of an adapter's settings that decides what its weights do."""
    apart = ("base_model_name_or_path", "revision", "inference_mode", "peft_version", "auto_mapping")
    found = {name: config.to_dict() for name, config in model.peft_config.items()}
    return {
        name: {
            key: sorted(value) if isinstance(value, set) else value
            for key, value in sorted(config.items())
            if key not in apart
        }
        for name, config in found.items()
    }

"""The policy as training begins: whole, or an adapter on a base.

The base of a new adapter is a model that some folder or the hub holds, or one that the run writes into `OUTPUT/base`
before it begins: a model made on the spot, the policy's own adapter merged into its base, or what PiSSA and OLoRA
leave of the weights. The adapter names it as its base, so that whoever reads the adapter computes what was trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...contract.adapters import NEW, changes_base
from ...contract.files import BASE
from ...contract.job import Adapter, Job, Model
from ...contract.outputs import Quantity
from ..base import fsops
from ..base.seeds import derive
from .adapters import base_of, holds_adapter, of_base, pretrained, read_adapter, with_adapter
from .agreement import require_agreement, require_all_linear
from .precision import DTYPES
from .quantized import quantized_config
from .read import from_config, read_folder, seeded

__all__ = [
    "adapted_start",
    "base_model",
    "is_reward_model",
    "stored_dtype",
    "whole_start",
    "write_base",
    "writes_base",
]

FACTORS = "adapter"
"""Within the written base: the adapter as training begins, where its factors were taken out of the base."""


def whole_start(job: Job, tokenizer: Any) -> nn.Module:
    """Make the whole policy; an adapter that it brings is merged."""
    section, seed, rewards = job.spec.model, job.spec.train.seed, is_reward_model(job)
    if not isinstance(section.policy, str):
        return from_config(section.policy, section, tokenizer, derive(seed, "init"), rewards=rewards)
    with seeded(derive(seed, "head")):
        return pretrained(section.policy, section, rewards=rewards)


def adapted_start(job: Job, tokenizer: Any) -> nn.Module:
    """Make the policy with the adapter that is trained: the policy's own, or a new one.

    Failures where the spec and the policy's own adapter contradict each other.
    """
    section, adapter = job.spec.model, adapter_of(job)
    if adapter.start != NEW:
        require_agreement(job)
        base = base_model(job, tokenizer)
        model = read_adapter(base, str(section.policy), section.revision, trained=True)
        require_all_linear(job, model)
        return model
    model, factors = base_model(job, tokenizer), written(job) / FACTORS
    if changes_base(adapter.init_lora_weights) and factors.is_dir():
        return read_adapter(model, str(factors), trained=True)
    return put_on(job, model)


def base_model(job: Job, tokenizer: Any) -> nn.Module:
    """Read or make the model under the adapter that is trained."""
    section, rewards = job.spec.model, is_reward_model(job)
    if writes_base(job):
        there = (written(job) / "config.json").is_file()
        return (
            read_folder(str(written(job)), of_base(section), rewards=rewards, quantization=bits_of(job))
            if there
            else whole_start(job, tokenizer)
        )
    source = str(section.policy)
    with seeded(derive(job.spec.train.seed, "head")):
        if adapter_of(job).start == NEW:
            return read_folder(source, section, rewards=rewards, quantization=bits_of(job))
        base = base_of(source, section.revision)
        return read_folder(base, of_base(section), rewards=rewards, quantization=bits_of(job))


def bits_of(job: Job) -> Any:
    """Give what bitsandbytes is told of the base: None where its weights stay numbers."""
    asked = job.spec.model.quantization
    return None if asked is None else quantized_config(asked, stored_dtype(job.spec.model))


def stored_dtype(section: Model) -> torch.dtype:
    """Find the type of the policy's weights on disk: the one that the spec names, or that of its checkpoint."""
    from transformers import AutoConfig

    if section.dtype:
        return DTYPES[section.dtype]
    if not isinstance(section.policy, str):
        return torch.float32
    source = section.policy
    if holds_adapter(source, section.revision):
        source, section = base_of(source, section.revision), of_base(section)
    known = {"revision": None if Path(source).exists() else section.revision}
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=section.trust_remote_code, **known)
    except (OSError, ValueError):
        return torch.float32  # reading the model will say what is wrong
    found = getattr(config, "dtype", None)
    return found if isinstance(found, torch.dtype) else torch.float32


def writes_base(job: Job) -> bool:
    """Tell whether no other folder holds the base of the adapter, so that the run has to write it."""
    section = job.spec.model
    if section.adapter is None or section.adapter.start != NEW:
        return False
    made = isinstance(section.policy, Mapping) or holds_adapter(section.policy, section.revision)
    return made or changes_base(section.adapter.init_lora_weights)


def write_base(job: Job, tokenizer: Any) -> Path | None:
    """Write the base of the adapter into `OUTPUT/base`, in one step; return its folder. None where another holds it."""
    if not writes_base(job):
        return None
    target = written(job)
    aside = target.with_name(f".{BASE}.tmp")
    fsops.remove(target)
    fsops.make_folder(aside)
    model: Any = whole_start(job, tokenizer)
    if changes_base(adapter_of(job).init_lora_weights):
        model = put_on(job, model)
        model.save_pretrained(str(aside / FACTORS))
        model = model.unload()
    model.save_pretrained(str(aside))
    tokenizer.save_pretrained(str(aside))
    fsops.sync_tree(aside)
    fsops.rename(aside, target)
    return target


def put_on(job: Job, model: nn.Module) -> nn.Module:
    """Put a new adapter on its base."""
    base = str(written(job)) if writes_base(job) else str(job.spec.model.policy)
    seed = derive(job.spec.train.seed, "adapter")
    return with_adapter(model, adapter_of(job), seed, base=base, rewards=is_reward_model(job))


def written(job: Job) -> Path:
    """Name the folder that the base is written to."""
    return job.output_dir / BASE


def adapter_of(job: Job) -> Adapter:
    """Give the settings of the adapter that is trained."""
    assert job.spec.model.adapter is not None
    return job.spec.model.adapter


def is_reward_model(job: Job) -> bool:
    """Tell whether a scalar head is trained in the place of the LM head."""
    return Quantity.SCORE in job.needs.outputs

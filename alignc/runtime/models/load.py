"""The models of a job: the policy as it begins or goes on, its critic, and how they are saved."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...contract.engines import ENGINES
from ...contract.job import Job
from ...contract.outputs import Quantity
from ..base.seeds import derive
from ..kernels.attention import causal_lm
from .adapters import pretrained, read_adapter
from .critic import CRITIC, is_scalar, on_backbone, parted, with_critic, write_critic
from .precision import widen
from .quantized import write_quantization
from .read import from_config, read_folder, saved_dtype
from .start import adapted_start, base_model, is_reward_model, whole_start
from .value import with_value_head, write_value_head

__all__ = [
    "initial_model",
    "narrow_for_zero",
    "ready",
    "resumed_model",
    "save_model",
]


def initial_model(job: Job, tokenizer: Any, *, critic: bool = True) -> nn.Module:
    """Make the policy as training begins, with its adapter where the spec asks for one.

    Its critic comes with it; an anchor, which is only asked for log-probabilities, can do without (``critic``).
    """
    model = adapted_start(job, tokenizer) if job.spec.model.adapter else whole_start(job, tokenizer)
    if critic and has_own_critic(job):
        model = with_critic(model, initial_critic(job, tokenizer).to(causal_lm(model).dtype))
    return with_value_head(model) if has_value_head(job) else model


def resumed_model(job: Job, tokenizer: Any, folder: Path) -> nn.Module:
    """Read the policy from a checkpoint; under LoRA the base comes from where it came from before."""
    section, rewards = job.spec.model, is_reward_model(job)
    if section.adapter is None:
        model = read_folder(str(folder), section, saved_dtype(folder), rewards=rewards)
        return with_saved_values(job, model, folder)
    model = read_adapter(base_model(job, tokenizer), str(folder), trained=True)
    return with_saved_values(job, model, folder)


def with_saved_values(job: Job, model: nn.Module, folder: Path) -> nn.Module:
    """Put the critic and the value head on a model as a checkpoint has them."""
    if has_own_critic(job):
        saved = folder / CRITIC
        section = dataclasses.replace(job.spec.model, revision=None)
        model = with_critic(model, read_folder(str(saved), section, saved_dtype(saved), rewards=True))
    return with_value_head(model, folder) if has_value_head(job) else model


def initial_critic(job: Job, tokenizer: Any) -> nn.Module:
    """Make the critic as training begins: a reward model, or a language model under a scalar head of zeros.

    It has no adapter: one that it was read with is merged, and all of its weights are trained.
    """
    section, seed = job.spec.model, job.spec.train.seed
    path = section.critic.path if section.critic else None
    if path is not None:
        section = dataclasses.replace(section, policy=str(path), revision=None)
        known = {"trust_remote_code": section.trust_remote_code}
        if is_scalar(str(path), **known):
            return pretrained(str(path), section, rewards=True)
    if isinstance(section.policy, str):
        return on_backbone(pretrained(section.policy, section))
    return on_backbone(from_config(section.policy, section, tokenizer, derive(seed, "init")))


def has_own_critic(job: Job) -> bool:
    """Tell whether values of states come from a backbone of their own."""
    critic = job.spec.model.critic
    return Quantity.TOKEN_VALUE in job.needs.outputs and critic is not None and critic.kind == "model"


def has_value_head(job: Job) -> bool:
    """Tell whether a value is read off the policy's trunk: of the prompt, or of every state without a critic."""
    return Quantity.VALUE in job.needs.outputs or (
        Quantity.TOKEN_VALUE in job.needs.outputs and not has_own_critic(job)
    )


def ready(model: nn.Module, job: Job, device: torch.device) -> nn.Module:
    """Put a model on its device, in training mode, without dropout unless the spec wants it."""
    model.to(device).train()
    widen(model, job)
    own_memory(model)
    if not job.spec.train.dropout:
        silence_dropout(model, keep_adapters=True)
    if job.spec.train.activation_checkpointing:
        recompute_activations(causal_lm(model))
    return model


def own_memory(model: nn.Module) -> None:
    """Move weights into memory of torch's own allocator.

    Weights read from a file may lie in it at any offset, and matrix products round differently by how their operands
    are aligned: a run that was resumed would part from one that was not, in the last bit.
    """
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.data = tensor.data.clone()


def recompute_activations(model: Any) -> None:
    """Switch activation checkpointing on, under the name that this transformers has for it."""
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})


def silence_dropout(model: nn.Module, *, keep_adapters: bool) -> None:
    """Set every dropout probability to 0; an adapter's own is asked for by name and stays."""
    for name, module in model.named_modules():
        if keep_adapters and "lora_dropout" in name:
            continue
        for key, value in vars(module).items():
            if isinstance(value, float) and (
                "drop" in key or (key == "p" and isinstance(module, nn.Dropout))
            ):
                setattr(module, key, 0.0)


def save_model(model: nn.Module, weights: Mapping[str, Tensor], tokenizer: Any, folder: Path) -> None:
    """Write a model (or its adapter alone), its critic and its tokenizer as `from_pretrained` reads them."""
    own, critic = parted(weights)
    rest = {name: value for name, value in own.items() if "value_head." not in name}
    model.save_pretrained(str(folder), state_dict=rest)  # type: ignore[operator]
    write_quantization(model, folder)
    write_value_head(own, folder)
    write_critic(model, critic, folder)
    tokenizer.save_pretrained(str(folder))


def narrow_for_zero(
    job: Job, model: nn.Module, autocast: torch.dtype | None
) -> tuple[dict[str, Tensor], torch.dtype | None]:
    """Under DeepSpeed give the model the type it computes in, as DeepSpeed would; return the wide weights.

    DeepSpeed keeps full-precision weights of its own, so autocast has no part in it.
    """
    weights = {name: value.detach() for name, value in model.state_dict().items()}
    if ENGINES[job.spec.launch.engine].narrows and autocast is not None:
        model.to(autocast)
        return weights, None
    return weights, autocast

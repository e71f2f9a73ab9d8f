"""The models of a job: made from a configuration and a seed, or read as `from_pretrained` reads them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from ...contract.engines import ENGINES
from ...contract.failure import Failure
from ...contract.job import Adapter, Job, Model
from ...contract.outputs import Quantity
from ..base.endings import end_ids
from ..base.hub import offline_unless_reachable
from ..base.seeds import derive
from ..kernels.attention import causal_lm
from .critic import CRITIC, is_scalar, on_backbone, parted, with_critic, write_critic
from .precision import DTYPES, widen
from .value import with_value_head, write_value_head

__all__ = [
    "initial_model",
    "narrow_for_zero",
    "pretrained",
    "ready",
    "resumed_model",
    "save_model",
]


def initial_model(job: Job, tokenizer: Any, *, critic: bool = True) -> nn.Module:
    """Make the policy as training begins, with a fresh adapter where the spec asks for one.

    Its critic comes with it; an anchor, which is only asked for log-probabilities, can do without (``critic``).
    """
    section, seed, rewards = job.spec.model, job.spec.train.seed, is_reward_model(job)
    if isinstance(section.policy, str):
        keep = section.adapter is not None
        with seeded(derive(seed, "head")):
            model = pretrained(section.policy, section, keep_adapter=keep, rewards=rewards)
    else:
        model = from_config(section.policy, section, tokenizer, derive(seed, "init"), rewards=rewards)
    if section.adapter is not None and not is_adapted(model):
        model = with_adapter(model, section.adapter, derive(seed, "adapter"), rewards=rewards)
    if critic and has_own_critic(job):
        model = with_critic(model, initial_critic(job, tokenizer).to(causal_lm(model).dtype))
    return with_value_head(model) if has_value_head(job) else model


def resumed_model(job: Job, tokenizer: Any, folder: Path) -> nn.Module:
    """Read the policy from a checkpoint; under LoRA the base comes from where it came from before."""
    section, rewards = job.spec.model, is_reward_model(job)
    if section.adapter is None:
        model = read_folder(str(folder), section, saved_dtype(folder), rewards=rewards)
        return with_saved_values(job, model, folder)
    from peft import PeftModel

    if isinstance(section.policy, str):
        with seeded(derive(job.spec.train.seed, "head")):
            base = pretrained(section.policy, section, keep_adapter=False, base_only=True, rewards=rewards)
    else:
        base = from_config(
            section.policy, section, tokenizer, derive(job.spec.train.seed, "init"), rewards=rewards
        )
    return with_saved_values(job, PeftModel.from_pretrained(base, str(folder), is_trainable=True), folder)


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
            return pretrained(str(path), section, keep_adapter=False, rewards=True)
    if isinstance(section.policy, str):
        return on_backbone(pretrained(section.policy, section, keep_adapter=False))
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


def is_reward_model(job: Job) -> bool:
    """Tell whether a scalar head is trained in the place of the LM head."""
    return Quantity.SCORE in job.needs.outputs


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from a seed of our own, and leave torch's generator as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


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


def pretrained(
    source: str, section: Model, *, keep_adapter: bool, base_only: bool = False, rewards: bool = False
) -> nn.Module:
    """Read a model from a folder or the hub.

    A folder may hold an adapter: then its base is read too, and the adapter kept on it, merged into it, or
    (``base_only``) left out. Failure E601 for an id that cannot be fetched, E703 for a broken folder.
    """
    dtype = DTYPES[section.dtype] if section.dtype else "auto"
    if not (Path(source) / "adapter_config.json").is_file():
        return read_folder(source, section, dtype, rewards=rewards)
    from peft import PeftConfig, PeftModel

    base = read_folder(
        PeftConfig.from_pretrained(source).base_model_name_or_path, section, dtype, rewards=rewards
    )
    if base_only:
        return base
    model = PeftModel.from_pretrained(base, source, is_trainable=keep_adapter)
    whole: nn.Module = model if keep_adapter else model.merge_and_unload()
    return whole


def read_folder(source: str, section: Model, dtype: torch.dtype | str, *, rewards: bool = False) -> nn.Module:
    """Call `from_pretrained`, and turn what it raises into a diagnostic. A new scalar head is drawn at random."""
    local = Path(source).exists()
    reachable = local or (not Path(source).is_absolute() and offline_unless_reachable())
    try:
        model: nn.Module = auto_class(rewards).from_pretrained(
            source,
            **({"num_labels": 1} if rewards else {}),
            dtype=dtype,
            revision=None if local else section.revision,
            local_files_only=not reachable,
            trust_remote_code=section.trust_remote_code,
            **attention(section.attn_implementation),
        )
    except Exception as problem:  # from_pretrained raises what its many parts raise
        raise trouble(source, problem, local, reachable) from problem
    return model


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


def with_adapter(model: nn.Module, adapter: Adapter, seed: int, *, rewards: bool = False) -> nn.Module:
    """Put a seeded low-rank adapter on a model whose own weights stay as they are."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=adapter.r,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        target_modules=adapter.target_modules,
        task_type="SEQ_CLS" if rewards else "CAUSAL_LM",
    )
    with seeded(seed):
        adapted: nn.Module = get_peft_model(model, config)
    return adapted


def is_adapted(model: nn.Module) -> bool:
    """Tell whether a model carries an adapter of peft's."""
    return hasattr(model, "peft_config") and hasattr(model, "get_base_model")


def saved_dtype(folder: Path) -> torch.dtype:
    """Read the type of the weights that a folder really holds: checkpoints may be wider than their config."""
    with safe_open(sorted(folder.glob("model*.safetensors"))[0], framework="pt") as file:
        dtype: torch.dtype = file.get_tensor(next(iter(file.keys()))).dtype
        return dtype


def save_model(model: nn.Module, weights: Mapping[str, Tensor], tokenizer: Any, folder: Path) -> None:
    """Write a model (or its adapter alone), its critic and its tokenizer as `from_pretrained` reads them."""
    own, critic = parted(weights)
    rest = {name: value for name, value in own.items() if "value_head." not in name}
    model.save_pretrained(str(folder), state_dict=rest)  # type: ignore[operator]
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

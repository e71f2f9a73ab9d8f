"""A critic with a backbone of its own: a sequence classifier with one label, beside the policy in one module.

It hangs on the policy as `critic`, so that what carries a gradient step (DDP, ZeRO, the optimizer, a checkpoint) sees
one network whose parameters have one name each. Its weights never enter the policy's files: they are a folder of their
own, `critic/`, as `from_pretrained` reads it. A critic is

- a copy of the policy as training began, or of another language model, with a scalar head of zeros: every value
  starts at 0, as a head on the policy's trunk does; or
- a reward model, whose scalar head is taken over (Stiennon et al. 2020, appendix C: it starts from the reward model).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...contract.failure import Failure
from ..kernels.attention import causal_lm

__all__ = [
    "CRITIC",
    "critic_of",
    "has_critic",
    "is_scalar",
    "on_backbone",
    "parted",
    "with_critic",
    "write_critic",
]

CRITIC = "critic"


def has_critic(model: nn.Module) -> bool:
    """Tell whether a model carries a critic with a backbone of its own."""
    return hasattr(causal_lm(model), CRITIC)


def critic_of(model: nn.Module) -> Any:
    """Return a model's critic: a sequence classifier with one label."""
    return getattr(causal_lm(model), CRITIC)


def with_critic(model: nn.Module, critic: Any) -> nn.Module:
    """Hang a critic on a model. Failure E607 where the two do not read the same tokens."""
    base = causal_lm(model)
    own, other = (each.config.get_text_config().vocab_size for each in (critic, base))
    if own < other:
        raise Failure(
            "E607",
            f"the critic has {own} tokens in its vocabulary, but the policy has {other}",
            why="critic and policy read the same token ids",
            help="choose a critic with the tokenizer of the policy, or set `model.critic: {kind: head}`",
        )
    setattr(base, CRITIC, critic)
    return model


def on_backbone(model: Any) -> nn.Module:
    """Turn a language model into a critic: its backbone under a scalar head of zeros. It is used up."""
    import transformers

    fields = {
        key: value for key, value in model.config.to_dict().items() if key not in ("id2label", "label2id")
    }
    config = type(model.config).from_dict({**fields, "num_labels": 1})
    attention = {"attn_implementation": model.config._attn_implementation}
    try:
        with torch.device("meta"):  # a shell: nothing is drawn, nothing takes memory
            critic: Any = transformers.AutoModelForSequenceClassification.from_config(
                config, dtype=model.dtype, **attention
            )
    except ValueError as problem:
        raise Failure(
            "E607",
            f"transformers has no scalar head for {type(model).__name__}",
            why="a separate critic must be a sequence classifier",
            help="set `model.critic: {kind: head}`",
        ) from problem
    setattr(critic, critic.base_model_prefix, model.base_model)
    critic.score.to_empty(device=model.device)
    for parameter in critic.score.parameters():
        nn.init.zeros_(parameter)
    return critic


def is_scalar(source: str, **options: Any) -> bool:
    """Tell whether a model's source (a folder or an id) has a scalar head; what cannot be read has none."""
    from transformers import AutoConfig

    adapter = Path(source) / "adapter_config.json"
    try:
        if adapter.is_file():
            return bool(json.loads(adapter.read_text(encoding="utf-8")).get("task_type") == "SEQ_CLS")
        config = AutoConfig.from_pretrained(source, **options)
    except (OSError, ValueError):
        return False
    return any(name.endswith("ForSequenceClassification") for name in config.architectures or ())


def parted(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Part a network's weights: the policy's under their names, the critic's under its own."""
    mark = f".{CRITIC}."
    policy = {name: value for name, value in weights.items() if mark not in f".{name}"}
    critic = {f".{name}".partition(mark)[2]: value for name, value in weights.items() if mark in f".{name}"}
    return policy, critic


def write_critic(model: nn.Module, weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write the critic's weights where a model has one, as `from_pretrained` reads a sequence classifier."""
    if weights:
        critic_of(model).save_pretrained(str(folder / CRITIC), state_dict=dict(weights))

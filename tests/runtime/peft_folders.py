"""Models and adapters as users bring them: written by plain transformers and PEFT, and read by them too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, ByT5Tokenizer, LlamaConfig, LlamaForCausalLM

__all__ = ["IDS", "KINDS", "adapter", "base", "logits", "plain"]

IDS = torch.tensor([[5, 60, 61, 62, 63, 1]])
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "bias": {"bias": "lora_only"},
    "norm": {"modules_to_save": ["norm"]},
    "embeddings": {"target_modules": ["q_proj", "embed_tokens"]},
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "whole_embeddings": {"modules_to_save": ["embed_tokens"]},
    "whole_head": {"modules_to_save": ["lm_head"]},
    "whole_ends": {"modules_to_save": ["lm_head", "embed_tokens"]},
    "ranks": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}},
    "pissa": {"init_lora_weights": "pissa"},
}
"""The kinds of adapters that people have, by the settings of PEFT's that make them."""


def base(folder: Path, *, tied: bool = False, dtype: torch.dtype = torch.float32) -> Path:
    """Write a small llama whose weights are large enough to tell one model from another."""
    tokenizer = ByT5Tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        attention_bias=True,
        tie_word_embeddings=tied,
        pad_token_id=0,
        eos_token_id=1,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    model.to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def adapter(folder: Path, on: Path, **settings: Any) -> Path:
    """Write a trained adapter on a base: its factors are far from where they began."""
    from peft import LoraConfig, get_peft_model

    usual = {"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM", "target_modules": ["q_proj", "v_proj"]}
    torch.manual_seed(1)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(on), LoraConfig(**{**usual, **settings}))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder)
    ByT5Tokenizer().save_pretrained(folder)
    return folder


def plain(folder: Path) -> Any:
    """Read a folder with PEFT, or with transformers where it holds a whole model; the adapter is not merged."""
    from peft import PeftConfig, PeftModel

    if not (folder / "adapter_config.json").is_file():
        return AutoModelForCausalLM.from_pretrained(folder).eval()
    under = AutoModelForCausalLM.from_pretrained(PeftConfig.from_pretrained(folder).base_model_name_or_path)
    return PeftModel.from_pretrained(under, str(folder)).eval()


def logits(model: Any) -> torch.Tensor:
    """Give the logits of a few tokens."""
    with torch.no_grad():
        found: torch.Tensor = model.eval()(input_ids=IDS).logits
    return found

"""Small models of every causal language model that transformers has, made from the classes of their configurations.

Widths and depths that architectures share by name are made small. An architecture that needs more has a row of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

__all__ = ["LIMIT", "NAMES", "WORDS", "config_of", "model_of", "stirred"]

NAMES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
WORDS = 97
LIMIT = 30_000_000
"""The most parameters of a small model."""

SHARED: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "d_model": 32,
    "n_embd": 32,
    "n_embed": 32,
    "dim": 32,
    "dim_model": 32,
    "emb_dim": 32,
    "embedding_size": 32,
    "intermediate_size": 48,
    "ffn_dim": 48,
    "d_ff": 48,
    "decoder_ffn_dim": 48,
    "encoder_ffn_dim": 48,
    "dim_ff": 48,
    "feed_forward_size": 48,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "moe_shared_expert_intermediate_size": 16,
    "num_hidden_layers": 4,
    "n_layer": 4,
    "n_layers": 4,
    "num_layers": 4,
    "decoder_layers": 4,
    "encoder_layers": 2,
    "num_decoder_layers": 4,
    "num_encoder_layers": 2,
    "num_attention_heads": 4,
    "n_head": 4,
    "n_heads": 4,
    "num_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_attention_heads": 4,
    "num_decoder_attention_heads": 4,
    "num_encoder_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "global_head_dim": 8,
    "dim_head": 8,
    "kv_channels": 8,
    "max_position_embeddings": 64,
    "n_positions": 64,
    "n_ctx": 64,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "num_experts_per_token": 2,
    "moe_topk": 2,
    "moe_k": 2,
    "n_group": 1,
    "topk_group": 1,
    "num_expert_group": 1,
    "first_k_dense_replace": 1,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "index_n_heads": 2,
    "index_head_dim": 8,
    "index_topk": 64,
    "sliding_window": 6,
    "mamba_d_state": 8,
    "mamba_d_head": 8,
    "mamba_n_heads": 8,
    "mamba_d_ssm": 64,
    "mamba_num_heads": 8,
    "mamba_head_dim": 8,
    "n_mamba_heads": 2,
    "state_size": 8,
    "ssm_state_size": 8,
    "lru_width": 32,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "is_decoder": True,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "attention_dropout": 0.0,
}
LATENT = {"num_key_value_heads": 4}  # attention over latent vectors has keys of every head
OWN: dict[str, dict[str, Any]] = {
    "lfm2": {"layer_types": ["conv", "full_attention", "conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention", "conv", "full_attention"]},
    "codegen": {"rotary_dim": 8},
    "gptj": {"rotary_dim": 8},
    "kimi_linear": {"num_hidden_layers": 2},
    "xmod": {"default_language": "en_XX", "languages": ["en_XX"]},
    "reformer": {"axial_pos_embds": False, "attn_layers": ["local"] * 2, "local_attn_chunk_length": 4},
    "mamba2": {"num_heads": 8, "head_dim": 8, "expand": 2, "n_groups": 1, "chunk_size": 8},
    "longcat_flash": {
        "num_key_value_heads": 4,
        "ffn_hidden_size": 48,
        "expert_ffn_hidden_size": 16,
        "zero_expert_num": 2,
    },
    "gpt_neo": {"attention_types": [[["global", "local"], 2]], "window_size": 6},
    **dict.fromkeys(("axk1", "axk2", "deepseek_v2", "deepseek_v3", "deepseek_v32", "glm4_moe_lite"), LATENT),
    **dict.fromkeys(("glm_moe_dsa", "minicpm3", "youtu"), LATENT),
}
"""What single architectures need beyond the shared names."""
NESTED = ("text_config", "decoder", "language_config", "llm_config", "thinker_config")


def overrides(default: Any) -> dict[str, Any]:
    """List the small values for the names that a configuration has, those of its text model too."""
    known = default.to_dict()
    small = {name: value for name, value in SHARED.items() if name in known}
    for name in NESTED:
        inner = getattr(default, name, None)
        if hasattr(inner, "to_dict"):
            small[name] = overrides(inner)
    return small


def config_of(name: str) -> Any:
    """Make a small configuration."""
    kind = CONFIG_MAPPING[name]
    try:
        default = kind()
    except Exception:
        return kind(**{k: v for k, v in SHARED.items() if k != "sliding_window"} | OWN.get(name, {}))
    return kind(**(overrides(default) | OWN.get(name, {})))


def model_of(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Make a small model with the weights that transformers draws. ValueError where it is not small."""
    config = config_of(name)
    with torch.device("meta"):
        count = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    if count > LIMIT:
        raise ValueError(f"{count:,} parameters")
    torch.manual_seed(0)
    experts = {"experts_implementation": "eager"}  # the grouped product of experts knows no float64
    model: nn.Module = AutoModelForCausalLM.from_config(config_of(name), dtype=torch.float32, **experts)
    return model.to(dtype).eval()


def stirred(model: nn.Module, size: float = 0.2) -> nn.Module:
    """Make a model's weights large, so that a wrong mask or head is plain to see."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * size)
    return model

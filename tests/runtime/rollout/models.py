"""Tiny models whose laws are far from uniform, and what is expected of them without cache, batch or padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

WORDS = 40
COMMON: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.5,
    "max_position_embeddings": 64,
}
NAMES = ("llama", "qwen2", "gpt2", "mistral")


def build(name: str, seed: int = 0) -> Any:
    """Make a model; Mistral's window of 5 is shorter than any text here."""
    torch.manual_seed(seed)
    if name == "gpt2":
        config = GPT2Config(
            vocab_size=WORDS, n_embd=16, n_layer=2, n_head=4, n_positions=64, initializer_range=0.3
        )
        return GPT2LMHeadModel(config).eval()
    if name == "mistral":
        return MistralForCausalLM(MistralConfig(**COMMON, sliding_window=5)).eval()
    if name == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**COMMON)).eval()
    return LlamaForCausalLM(LlamaConfig(**COMMON)).eval()


def prompts_of(*lengths: int) -> list[Any]:
    """Make prompts of these lengths."""
    draw = np.random.default_rng(3)
    return [draw.integers(4, WORDS, length).astype(np.int32) for length in lengths]


def next_logits(model: nn.Module, ids: Sequence[int]) -> Tensor:
    """Give the logits behind a text, in float64."""
    with torch.no_grad():
        return model(torch.tensor([list(map(int, ids))])).logits[0, -1].double()

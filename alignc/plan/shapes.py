"""Each weight of an architecture by name and shape, computed from its configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import prod
from typing import Any

__all__ = ["ARCHITECTURES", "Layout", "Shape", "count", "layout_of", "parameters", "with_defaults"]

Shape = tuple[int, ...]
BYTES_VOCABULARY = 384
"""Tokens of the `bytes` tokenizer: 3 special ones, 256 bytes, 125 further names (ByT5)."""
ARCHITECTURES = ("gpt2", "llama", "mistral", "qwen2", "qwen3")
_OF_GPT2 = {
    "n_embd": "hidden_size",
    "n_head": "num_attention_heads",
    "n_layer": "num_hidden_layers",
    "n_positions": "max_position_embeddings",
    "n_inner": "intermediate_size",
}
_FROM_HIDDEN = {"llama": ("num_key_value_heads", "head_dim"), "mistral": ("head_dim",)}
"""Fields whose default follows from others that a configuration gives."""


@dataclass(frozen=True)
class Layout:
    """The sizes from which memory and FLOP are computed: layers, widths, heads, vocabulary."""

    architecture: str
    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    positions: int
    gated: bool = True

    @property
    def query(self) -> int:
        """Width of all queries together."""
        return self.heads * self.head_dim

    @property
    def key_value(self) -> int:
        """Width of all keys, or all values, together."""
        return self.kv_heads * self.head_dim


@cache
def _table() -> dict[str, dict[str, dict[str, Any]]]:
    text = resources.files("alignc.spec").joinpath("architectures.json").read_text("utf-8")
    table: dict[str, dict[str, dict[str, Any]]] = json.loads(text)
    return table


def with_defaults(architecture: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in a configuration's defaults as transformers does."""
    known = {key: entry["default"] for key, entry in _table().get(architecture, {}).items()}
    for key in _FROM_HIDDEN.get(architecture, ()):
        known.pop(key, None)
    fields = {**known, **{key: value for key, value in given.items() if value is not None}}
    return {_OF_GPT2.get(key, key): value for key, value in fields.items()}


def layout_of(architecture: str, config: Mapping[str, Any], vocabulary: int | None = None) -> Layout:
    """Read widths and depths from a configuration. Raises KeyError if one of them is missing."""
    full = with_defaults(architecture, config)
    hidden, heads = int(full["hidden_size"]), int(full["num_attention_heads"])
    return Layout(
        architecture=architecture,
        layers=int(full["num_hidden_layers"]),
        hidden=hidden,
        inner=int(full.get("intermediate_size") or 4 * hidden),
        heads=heads,
        kv_heads=int(full.get("num_key_value_heads") or heads),
        head_dim=int(full.get("head_dim") or hidden // heads),
        vocabulary=int(vocabulary if vocabulary is not None else full["vocab_size"]),
        positions=int(full.get("max_position_embeddings") or 0),
        gated=architecture != "gpt2",
    )


def parameters(
    architecture: str, config: Mapping[str, Any], vocabulary: int, *, rewards: bool = False
) -> dict[str, Shape]:
    """List the weights of a new model, tied weights once; `rewards` replaces the LM head by a scalar head."""
    full, layout = with_defaults(architecture, config), layout_of(architecture, config, vocabulary)
    body = _gpt2(layout) if architecture == "gpt2" else _llama(architecture, full, layout)
    head: dict[str, Shape] = {}
    if rewards:
        head = {"score.weight": (1, layout.hidden)}
    elif not full.get("tie_word_embeddings"):
        head = {"lm_head.weight": (vocabulary, layout.hidden)}
    return {**dict(body), **head}


def _llama(architecture: str, full: Mapping[str, Any], layout: Layout) -> Iterator[tuple[str, Shape]]:
    hidden, inner = layout.hidden, layout.inner
    biased = {"qwen2": "qkv"}.get(architecture, "qkvo" if full.get("attention_bias") else "")
    yield "model.embed_tokens.weight", (layout.vocabulary, hidden)
    for index in range(layout.layers):
        at = f"model.layers.{index}"
        yield f"{at}.input_layernorm.weight", (hidden,)
        yield f"{at}.post_attention_layernorm.weight", (hidden,)
        widths = {"q": layout.query, "k": layout.key_value, "v": layout.key_value, "o": hidden}
        for name, width in widths.items():
            yield f"{at}.self_attn.{name}_proj.weight", (width, layout.query if name == "o" else hidden)
            if name in biased:
                yield f"{at}.self_attn.{name}_proj.bias", (width,)
        if architecture == "qwen3":
            yield f"{at}.self_attn.q_norm.weight", (layout.head_dim,)
            yield f"{at}.self_attn.k_norm.weight", (layout.head_dim,)
        for name, shape in (("gate", (inner, hidden)), ("up", (inner, hidden)), ("down", (hidden, inner))):
            yield f"{at}.mlp.{name}_proj.weight", shape
            if full.get("mlp_bias"):
                yield f"{at}.mlp.{name}_proj.bias", shape[:1]
    yield "model.norm.weight", (hidden,)


def _gpt2(layout: Layout) -> Iterator[tuple[str, Shape]]:
    hidden, inner = layout.hidden, layout.inner
    yield "transformer.wte.weight", (layout.vocabulary, hidden)
    yield "transformer.wpe.weight", (layout.positions, hidden)
    maps = {
        "attn.c_attn": (hidden, 3 * hidden),
        "attn.c_proj": (hidden, hidden),
        "mlp.c_fc": (hidden, inner),
        "mlp.c_proj": (inner, hidden),
    }
    for index in range(layout.layers):
        at = f"transformer.h.{index}"
        for name in ("ln_1", "ln_2"):
            yield f"{at}.{name}.weight", (hidden,)
            yield f"{at}.{name}.bias", (hidden,)
        for name, shape in maps.items():
            yield f"{at}.{name}.weight", shape
            yield f"{at}.{name}.bias", shape[1:]
    yield "transformer.ln_f.weight", (hidden,)
    yield "transformer.ln_f.bias", (hidden,)


def count(shapes: Mapping[str, Shape]) -> int:
    """Count the numbers in weights of these shapes."""
    return sum(prod(shape) for shape in shapes.values())

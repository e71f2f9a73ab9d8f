"""Configuration fields of the architectures that `init:` offers, read from transformers.

`python -m alignc.runtime.models.architectures` prints the table that `alignc/spec/architectures.json` holds,
so that a spec is checked without importing transformers.
"""

from __future__ import annotations

import json
from typing import Any

__all__ = ["ARCHITECTURES", "config_class", "table"]

ARCHITECTURES = ("llama", "qwen2", "qwen3", "mistral", "gpt2")
DECIDED_ELSEWHERE = {
    "use_cache",
    "pretraining_tp",
    "rope_theta",
    "vocab_size",
    "pad_token_id",
    "bos_token_id",
    "eos_token_id",
}


def config_class(architecture: str) -> Any:
    """Find transformers' configuration class of an architecture."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return CONFIG_MAPPING[architecture]


def own_fields(architecture: str) -> dict[str, dict[str, Any]]:
    """List the scalar fields that this architecture adds to every model's, with type and default."""
    from transformers import PretrainedConfig

    common = set(PretrainedConfig().to_dict()) - {"tie_word_embeddings"}
    defaults = config_class(architecture)().to_dict()
    kept = {k: v for k, v in defaults.items() if k not in common | DECIDED_ELSEWHERE}
    fields = {k: {"type": type(v).__name__, "default": v} for k, v in kept.items() if is_scalar(v)}
    if "rope_parameters" in kept:
        fields["rope_theta"] = {"type": "float", "default": kept["rope_parameters"]["rope_theta"]}
    for name in ("sliding_window", "head_dim", "n_inner"):
        if name in kept and kept[name] is None:
            fields[name] = {"type": "int", "default": None}
    return dict(sorted(fields.items()))


def is_scalar(value: Any) -> bool:
    """Tell whether a default is a plain number, switch or name."""
    return isinstance(value, (bool, int, float, str))


def table() -> dict[str, dict[str, dict[str, Any]]]:
    """Build the whole table."""
    return {name: own_fields(name) for name in ARCHITECTURES}


if __name__ == "__main__":
    print(json.dumps(table(), indent=1))

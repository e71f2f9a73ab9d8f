"""What the files of a model say of generation: the tokens that end a response, and settings of sampling.

`config.json` and `generation_config.json` of a folder are read as plain JSON, by the compiler and by the job.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["ADAPTER_FILE", "CONFIG_FILES", "GENERATION_FILE", "base_of", "carried", "ends_of"]

GENERATION_FILE = "generation_config.json"
CONFIG_FILES = ("config.json", GENERATION_FILE)
ADAPTER_FILE = "adapter_config.json"

_NO_LAW = (
    "transformers_version",
    "use_cache",
    "cache_implementation",
    "return_dict_in_generate",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "output_logits",
)
"""Keys of a generation config that change neither what is drawn nor where it ends."""


def ends_of(config: Mapping[str, Any]) -> Iterator[int]:
    """Give the ids that end a response; a model with several modes has those of text in a part of its config."""
    text = config.get("text_config")
    for section in (config, text if isinstance(text, Mapping) else {}):
        ends = section.get("eos_token_id")
        for end in ends if isinstance(ends, list) else [ends]:
            if isinstance(end, int) and not isinstance(end, bool):
                yield end


def base_of(adapter: Mapping[str, Any]) -> str | None:
    """Return the base that an adapter's config names."""
    base = adapter.get("base_model_name_or_path")
    return base if isinstance(base, str) and base else None


def carried(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a generation config that would change samples, but for special ids."""
    return {
        name: value
        for name, value in config.items()
        if value is not None
        and name not in _NO_LAW
        and not name.startswith("_")
        and not name.endswith("_token_id")
    }

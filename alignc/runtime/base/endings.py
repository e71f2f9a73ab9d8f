"""The tokens that end a response: a set, said by the tokenizer, by `config.json` and by `generation_config.json`.

A tokenizer names one EOS. A chat model often ends its turns with another token: Gemma with `<end_of_turn>`, Llama 3
with `<|eot_id|>`. What reads or writes the end of a response asks `end_ids`, so that all of it agrees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...contract.generation import ADAPTER_FILE, CONFIG_FILES, base_of, ends_of

__all__ = ["end_ids", "named_ends", "remember_ends", "without_end"]


def end_ids(tokenizer: Any) -> tuple[int, ...]:
    """Return the ids that end a response: the tokenizer's EOS first, then those that `remember_ends` added.

    A tokenizer that did not come from `load_tokenizer` has its own EOS alone.
    """
    return tuple(dict.fromkeys((tokenizer.eos_token_id, *getattr(tokenizer, "end_ids", ()))))


def remember_ends(tokenizer: Any, ends: Sequence[int]) -> None:
    """Note further ids that end a response, as the model's files say; a model may draw one that the tokenizer lacks."""
    tokenizer.end_ids = tuple(each for each in ends if each >= 0)


def without_end(ids: NDArray[np.int32], ends: Sequence[int]) -> NDArray[np.int32]:
    """Drop the token that ended a response, for its text."""
    return ids[:-1] if len(ids) and int(ids[-1]) in ends else ids


def named_ends(source: str, **options: Any) -> tuple[int, ...]:
    """Read the ids that end a response of a model, from its folder or its hub id; of an adapter also from its base.

    ``options`` go to the look-up on the hub. A file that is missing or is no JSON says nothing.
    """
    base = base_of(_read(source, ADAPTER_FILE, options))
    further = named_ends(base, **{**options, "revision": None}) if base else ()
    own = (end for file in CONFIG_FILES for end in ends_of(_read(source, file, options)))
    return tuple(dict.fromkeys((*own, *further)))


def _read(source: str, file: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        path = Path(source) / file if Path(source).exists() else _cached(source, file, options)
        found = json.loads(path.read_text("utf-8")) if path is not None and path.is_file() else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _cached(source: str, file: str, options: Mapping[str, Any]) -> Path | None:
    """Find a file of a hub id, where it can be had."""
    from transformers.utils import cached_file

    path = cached_file(
        source,
        file,
        _raise_exceptions_for_gated_repo=False,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        **options,
    )
    return Path(path) if path else None

"""Facts about a model in a local folder, read from its configuration, its tokenizer and the headers of its weights."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["ModelFacts", "Shape", "facts_of", "headers", "highest_token", "json_of", "text_config"]

Shape = tuple[int, ...]
POSITION_TABLE = re.compile(r"(^|\.)wpe\.|position")
LIMITS = ("max_position_embeddings", "n_positions")


@dataclass(frozen=True)
class ModelFacts:
    """The rows of a model's embedding, the tokens of its tokenizer, and its positions if they are learned."""

    vocabulary: int | None
    tokens: int | None
    positions: int | None


def facts_of(folder: Path) -> ModelFacts | None:
    """Read the facts about a model's folder, or None where there is none. Of an adapter, the base has the weights."""
    try:
        files = sorted((*folder.glob("*.json"), *folder.glob("model*.safetensors")))
        return _facts(folder, tuple((str(file), file.stat().st_mtime_ns) for file in files))
    except OSError:
        return None


@lru_cache(maxsize=64)
def _facts(folder: Path, files: tuple[tuple[str, int], ...]) -> ModelFacts | None:
    adapter = json_of(folder / "adapter_config.json")
    tokens = highest_token(folder / "tokenizer.json")
    if adapter:
        base = facts_of(Path(str(adapter.get("base_model_name_or_path"))))
        return base and ModelFacts(base.vocabulary, base.tokens if tokens is None else tokens, base.positions)
    config = text_config(folder)
    if not config:
        return None
    vocabulary = config.get("vocab_size")
    limits = [config[name] for name in LIMITS if isinstance(config.get(name), int)]
    return ModelFacts(
        vocabulary if isinstance(vocabulary, int) else None,
        tokens,
        limits[0] if limits and _learned(folder, limits[0]) else None,
    )


def _learned(folder: Path, limit: int) -> bool:
    """Tell whether the weights hold a table of positions; some tables have two rows more than positions."""
    tables = (shape for name, (shape, _) in headers(folder).items() if POSITION_TABLE.search(name))
    return any(len(shape) == 2 and shape[0] in (limit, limit + 2) for shape in tables)


def text_config(folder: Path) -> dict[str, Any]:
    """Read the configuration of a model, or of its text part; empty where there is none."""
    config = json_of(folder / "config.json")
    inner = config.get("text_config")
    return inner if isinstance(inner, dict) and inner else config


def headers(folder: Path) -> dict[str, tuple[Shape, str]]:
    """Read the names of all weights with their shapes and number formats, without the weights."""
    found: dict[str, tuple[Shape, str]] = {}
    for file in sorted(folder.glob("model*.safetensors")):
        try:
            with file.open("rb") as stream:
                size = int.from_bytes(stream.read(8), "little")
                header = json.loads(stream.read(min(size, 1 << 27)))
            found |= {
                name: (tuple(entry["shape"]), str(entry["dtype"]))
                for name, entry in header.items()
                if name != "__metadata__"
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def highest_token(file: Path) -> int | None:
    """Count the ids that a tokenizer can give, from 0 to its highest; None where the file does not say."""
    data = json_of(file)
    model, added = data.get("model"), data.get("added_tokens")
    listed = model.get("vocab") if isinstance(model, dict) else None
    ids: list[Any] = list(listed.values()) if isinstance(listed, dict) else []
    ids += range(len(listed)) if isinstance(listed, list) else ()
    ids += [token.get("id") for token in added if isinstance(token, dict)] if isinstance(added, list) else ()
    return max((each for each in ids if isinstance(each, int)), default=-1) + 1 or None


def json_of(path: Path) -> dict[str, Any]:
    """Read a JSON object; empty where there is none."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}

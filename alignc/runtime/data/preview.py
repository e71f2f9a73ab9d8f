"""The preview of `alignc data`: rows as the model will see them, and warnings about all of them."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from ...contract.failure import Failure
from .dataset import Dataset, collect
from .example import Example, Tokens
from .judge import Counts
from .settings import DataSettings

__all__ = ["Preview", "Quantiles", "ShownRow", "preview"]


@dataclass(frozen=True)
class ShownRow:
    """A row's tokens as strings: those of the prompt are context, those of the responses are supervised.

    ``ids`` are their numbers, by "prompt" and response.
    """

    origin: str
    prompt: tuple[str, ...]
    responses: dict[str, tuple[str, ...]]
    ids: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Quantiles:
    """Lengths in tokens."""

    p50: int
    p95: int
    max: int


@dataclass(frozen=True)
class Preview:
    """A data section at a glance.

    ``lengths`` are after cutting, by "prompt" and response; ``duplicates`` counts rows that repeat an earlier
    one, ``identical`` those whose responses are all the same, ``prefixes`` those where one response is the
    beginning of another. ``unread`` names the columns that nothing is read from. ``length_gap`` is the mean of
    len(chosen) − len(rejected), None without pairs.
    """

    rows: tuple[ShownRow, ...]
    counts: Counts
    refused: tuple[Failure, ...]
    lengths: dict[str, Quantiles]
    duplicates: int
    identical: int
    prefixes: int
    length_gap: float | None
    unread: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON takes it."""
        return {
            **asdict(replace(self, refused=())),
            "refused": [failure.as_dict() for failure in self.refused],
        }


def preview(settings: DataSettings, tokenizer: Any, *, rows: int = 3, limit: int | None = None) -> Preview:
    """Load the training rows, refusing nothing as a whole, and show the first ``rows`` of them."""
    data = collect(settings, tokenizer, limit=limit)
    shown = tuple(_shown(example, settings.responses, tokenizer) for example in data.examples[:rows])
    return Preview(
        rows=shown,
        counts=data.counts,
        refused=data.refused,
        lengths=_lengths(data.examples, settings.responses),
        duplicates=_duplicates(data),
        identical=_count(data, lambda responses: len(responses) > 1 and len(set(responses)) == 1),
        prefixes=_count(data, _has_prefix),
        length_gap=_length_gap(data.examples),
        unread=data.unread,
    )


def _shown(example: Example, names: Sequence[str], tokenizer: Any) -> ShownRow:
    responses = {name: _strings(ids, tokenizer) for name, ids in _named(example, names)}
    parts = (("prompt", example.prompt), *_named(example, names))
    ids = {name: tuple(tokens.tolist()) for name, tokens in parts}
    return ShownRow(example.origin, _strings(example.prompt, tokenizer), responses, ids)


def _named(example: Example, names: Sequence[str]) -> Iterable[tuple[str, Tokens]]:
    """Name the responses as the objective does; k scored ones by their number."""
    if len(names) != len(example.responses):
        names = [f"completions[{index}]" for index in range(len(example.responses))]
    return zip(names, example.responses, strict=True)


def _strings(ids: Tokens, tokenizer: Any) -> tuple[str, ...]:
    return tuple(_string(int(token), tokenizer) for token in ids)


def _string(token: int, tokenizer: Any) -> str:
    """Return the token's text, or its own name where it is only part of a character."""
    text = tokenizer.decode([token])
    return text if text and "\ufffd" not in text else str(tokenizer.convert_ids_to_tokens(token))


def _lengths(examples: Sequence[Example], names: Sequence[str]) -> dict[str, Quantiles]:
    lengths: dict[str, list[int]] = {}
    for example in examples:
        for name, ids in (("prompt", example.prompt), *_named(example, names)):
            lengths.setdefault(name, []).append(len(ids))
    return {name: _quantiles(sorted(values)) for name, values in lengths.items()}


def _quantiles(ordered: Sequence[int]) -> Quantiles:
    """Take quantiles by nearest rank: the least length that the share of rows does not exceed."""
    p50, p95 = (ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.95))
    return Quantiles(p50, p95, ordered[-1])


def _duplicates(data: Dataset) -> int:
    """Count the rows that repeat an earlier one; of each row a hash stays in memory."""
    seen = Counter(hashlib.blake2b(_bytes(each), digest_size=16).digest() for each in data.examples)
    return sum(times - 1 for times in seen.values())


def _bytes(example: Example) -> bytes:
    parts = (example.prompt, *example.responses)
    return b"".join(len(ids).to_bytes(8, "big") + ids.tobytes() for ids in parts)


def _count(data: Dataset, holds: Callable[[Sequence[tuple[int, ...]]], bool]) -> int:
    return sum(holds([tuple(ids.tolist()) for ids in example.responses]) for example in data.examples)


def _has_prefix(responses: Sequence[tuple[int, ...]]) -> bool:
    """Tell whether a response without its closing token begins another, longer one."""
    ordered = sorted(responses, key=len)
    return any(long[: len(short) - 1] == short[:-1] and long != short for short, long in pairwise(ordered))


def _length_gap(examples: Sequence[Example]) -> float | None:
    gaps = [len(each.responses[0]) - len(each.responses[1]) for each in examples if len(each.responses) == 2]
    return sum(gaps) / len(gaps) if gaps else None

"""Load the prompts of an online job, tokenized as the prompts of training rows are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...contract.failure import Failure
from ...contract.layouts import columns_of
from .columns import Fields
from .cut import Cut
from .dataset import Part, counts_of, load_rows, refused_of, settle
from .example import Tokens
from .judge import Counts
from .pipeline import LoadedRow
from .render import Rendered
from .rows import Row
from .settings import DataSettings

__all__ = ["Prompt", "PromptSet", "load_prompts"]


@dataclass(frozen=True, eq=False)
class Prompt:
    """One row: a prompt's tokens, and all that a reward may want to know of the row.

    ``ids`` is never empty and begins with BOS where the tokenizer puts one. ``text`` is the prompt as the tokenizer
    read it, the chat template applied, before anything was cut. ``fields`` is the raw row, with the columns that the
    spec maps under the names it maps them to. ``demonstration`` is the row's own completion with EOS, where the
    objective takes one. ``row`` counts the kept rows from 0; ``origin`` is "prompts.jsonl:18" or "ID[train]#18".
    """

    row: int
    origin: str
    ids: Tokens
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    demonstration: Tokens | None = None


@dataclass(frozen=True)
class PromptSet:
    """Prompts in the order of the source, the counts, and a diagnostic for each refused row."""

    prompts: tuple[Prompt, ...]
    counts: Counts
    refused: tuple[Failure, ...] = ()

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, row: int) -> Prompt:
        return self.prompts[row]


def load_prompts(
    settings: DataSettings, tokenizer: Any, *, which: Part = "train", limit: int | None = None, room: int
) -> PromptSet:
    """Load the training or the held-out prompts, at most ``limit`` rows of the source.

    ``room`` tokens stay free behind each prompt for a completion: a longer prompt loses its beginning, so that
    prompt and completion fit ``settings.max_length``. Raises as ``load_examples`` does, and E705 where the
    completion alone would not fit.
    """
    if settings.max_length is not None and room >= settings.max_length:
        raise _no_room(room, settings.max_length)
    settings = replace(settings, room=room)
    loaded = load_rows(settings, tokenizer, which, limit)
    counts, refused = counts_of(loaded), refused_of(loaded)
    settle(counts, refused, settings, which)
    failures = tuple(failure for failure, _ in refused)
    return PromptSet(tuple(_prompts(loaded, settings)), counts, failures)


def _no_room(room: int, max_length: int) -> Failure:
    return Failure(
        "E705",
        f"`data.max_new_tokens: {room}` leaves no token of `train.max_length: {max_length}` for the prompt",
        why="prompt and completion together must fit into `max_length`",
        help=f"raise `train.max_length` above {room}, or lower `data.max_new_tokens`",
    )


def _prompts(loaded: Sequence[LoadedRow], settings: DataSettings) -> Iterator[Prompt]:
    kept = ((item.row, item.text, item.cut) for item in loaded)
    whole = ((row, text, fitted) for row, text, fitted in kept if row and text and fitted)
    for index, (row, text, fitted) in enumerate(whole):
        columns = columns_of(settings.kind, row.fields, settings.columns)
        yield _prompt(index, row, text, fitted, columns)


def _prompt(index: int, row: Row, text: Rendered, fitted: Cut, columns: Mapping[str, str]) -> Prompt:
    own = [np.array(ids, dtype=np.int32) for ids in fitted.responses]
    return Prompt(
        row=index,
        origin=row.origin,
        ids=np.array(fitted.prompt, dtype=np.int32),
        text=text.prompt,
        fields=_fields(row, columns),
        demonstration=own[0] if own else None,
    )


def _fields(row: Row, columns: Mapping[str, str]) -> dict[str, Any]:
    """Give the raw row, and under its name in the spec what stands in a column of another name."""
    seen = Fields(row, columns)
    mapped = (name for name, column in columns.items() if name != column and seen.has(name))
    return {**row.fields, **{name: seen.value(name) for name in mapped}}

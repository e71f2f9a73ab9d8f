"""Load a job's rows as examples, and account for every row that was cut or refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...contract.failure import Failure
from ...contract.responses import MISMATCHED
from .cut import Cut, cut
from .example import Example
from .format import Parsed, parse_row, unread_columns
from .judge import Counts, judge
from .mismatch import with_mismatched
from .quarantine import write_quarantine
from .render import Rendered, render
from .rows import Row
from .settings import DataSettings
from .source import read_rows
from .split import held_out
from .template import Template, read_template
from .tokens import Specials, TokenRow, specials_of, tokenize

__all__ = [
    "Dataset",
    "LoadedRow",
    "Part",
    "check_parts",
    "collect",
    "counts_of",
    "load_examples",
    "load_rows",
    "refused_of",
    "settle",
]

Part = Literal["train", "eval"]

_CHUNK = 512  # rows tokenized in one call
_OF_A_ROW = {"E701", "E702", "E703", "E704", "E708"}


@dataclass(frozen=True)
class Dataset:
    """Examples in the order of the source, the counts, and a diagnostic for each refused row.

    ``unread`` names the columns that no part of a row is read from.
    """

    examples: tuple[Example, ...]
    counts: Counts
    refused: tuple[Failure, ...] = ()
    unread: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, row: int) -> Example:
        return self.examples[row]


@dataclass(frozen=True)
class LoadedRow:
    """A row's way through the stages: its last stage, or the failure that stopped it."""

    row: Row | None
    parsed: Parsed | None = None
    text: Rendered | None = None
    cut: Cut | None = None
    failure: Failure | None = None


def load_examples(
    settings: DataSettings, tokenizer: Any, *, which: Part = "train", limit: int | None = None
) -> Dataset:
    """Load the training or the held-out rows as examples, at most ``limit`` rows of the source.

    Raises E705 where too many completions were cut, E706 where too many rows were refused (with each of them
    among its causes), E707 where no row is left; E601, E703 and E709 as the source and the tokenizer demand.
    Without ``settings.eval`` the held-out part is empty.
    """
    loaded = load_rows(settings, tokenizer, which, limit)
    settle(loaded, settings, which)
    dataset = _dataset(loaded, settings)
    if MISMATCHED not in settings.responses:
        return dataset
    return replace(dataset, examples=with_mismatched(dataset.examples, settings.seed, settings.max_length))


def collect(
    settings: DataSettings, tokenizer: Any, *, which: Part = "train", limit: int | None = None
) -> Dataset:
    """Load as ``load_examples`` does, but judge nothing: refused rows are only listed."""
    return _dataset(load_rows(settings, tokenizer, which, limit), settings)


def settle(loaded: Sequence[LoadedRow], settings: DataSettings, which: Part) -> None:
    """Set refused rows aside where the spec says so, and judge whether the run may go on without them."""
    counts, refused = counts_of(loaded), refused_of(loaded)
    if not counts.rows:
        check_parts(settings)
    if settings.on_bad_row == "quarantine" and settings.quarantine and refused:
        bad = [(item.failure, item.row) for item in loaded if item.failure is not None]
        write_quarantine(Path(settings.quarantine), bad)
    if which == "train" or settings.eval is not None:
        judge(counts, refused, settings)


def check_parts(settings: DataSettings) -> None:
    """Raise E707 where `eval.fraction` leaves no row of the source to train on, or none to hold out."""
    fraction = None if settings.eval is None else settings.eval.fraction
    if fraction is None:
        return
    count = sum(1 for _ in read_rows(settings.source, settings.split, settings.max_rows, settings.hub))
    held = sum(held_out(index, settings.seed, fraction) for index in range(count))
    if count and held in (0, count):
        raise _one_part_is_empty(count, held, fraction, settings.source)


def _one_part_is_empty(count: int, held: int, fraction: float, source: str) -> Failure:
    which, few = ("to train on", "lower") if held else ("held out", "raise")
    whole = "1 row" if count == 1 else f"{count} rows"
    return Failure(
        "E707",
        f"`data.eval.fraction: {fraction:g}` of {whole} leaves no row {which}",
        why="a random draw decides for each row whether it is held out; a small share of few rows may be empty",
        help=f"{few} `data.eval.fraction`, add rows, or give held-out rows in a file: `eval: {{source: FILE}}`",
        file=source,
    )


def load_rows(settings: DataSettings, tokenizer: Any, which: Part, limit: int | None) -> list[LoadedRow]:
    """Take every row as far as it gets: read, parsed, rendered, tokenized, cut."""
    specials = specials_of(tokenizer)
    template = template_of(settings)
    rows = islice(_rows_of(settings, which), limit)
    loaded: list[LoadedRow] = []
    while chunk := list(islice(rows, _CHUNK)):
        loaded += _tokenized(chunk, settings, tokenizer, template, specials)
    return loaded


def template_of(settings: DataSettings) -> Template:
    """Take out of the settings how conversations are written. Raises E709 for a file that cannot be read."""
    return Template(
        read_template(settings.chat_template),
        settings.chat_template_kwargs,
        settings.chat_template_date,
        settings.date_record,
    )


def _rows_of(settings: DataSettings, which: Part) -> Iterator[Row | Failure]:
    held = settings.eval
    if which == "eval" and held is None:
        return iter(())
    if which == "eval" and held is not None and held.source is not None:
        return read_rows(held.source, held.split or settings.split)
    rows = read_rows(settings.source, settings.split, settings.max_rows, settings.hub)
    if held is None or held.fraction is None:
        return rows
    fraction, wanted = held.fraction, which == "eval"
    return (row for index, row in enumerate(rows) if held_out(index, settings.seed, fraction) == wanted)


def _tokenized(
    chunk: list[Row | Failure],
    settings: DataSettings,
    tokenizer: Any,
    template: Template,
    specials: Specials,
) -> Iterator[LoadedRow]:
    """Parse and render each row, tokenize those that can be, and give all back in their order."""
    stages = [_rendered(row, settings, tokenizer, template) for row in chunk]
    ready = [(stage.row, stage.text) for stage in stages if stage.row is not None and stage.text is not None]
    tokens = iter(tokenize(ready, tokenizer, specials))
    for stage in stages:
        yield stage if stage.text is None else _fitted(stage, next(tokens), settings, specials)


def _rendered(row: Row | Failure, settings: DataSettings, tokenizer: Any, template: Template) -> LoadedRow:
    if isinstance(row, Failure):
        return LoadedRow(None, failure=row)
    try:
        parsed = parse_row(row, settings)
        return LoadedRow(row, parsed, render(row, parsed, tokenizer, template))
    except Failure as failure:
        if failure.code not in _OF_A_ROW:
            raise
        return LoadedRow(row, failure=failure)


def _fitted(
    stage: LoadedRow, tokens: TokenRow | Failure, settings: DataSettings, specials: Specials
) -> LoadedRow:
    if isinstance(tokens, Failure):
        return LoadedRow(stage.row, failure=tokens)
    fitted = cut(tokens.prompt, tokens.responses, settings.max_length, specials.bos, room=settings.room)
    return replace(stage, cut=fitted)


def _dataset(loaded: list[LoadedRow], settings: DataSettings) -> Dataset:
    rows = [item.row for item in loaded if item.row is not None]
    unread = dict.fromkeys(name for row in rows for name in unread_columns(row.fields, settings))
    return Dataset(tuple(_examples(loaded)), counts_of(loaded), refused_of(loaded), tuple(unread))


def counts_of(loaded: Sequence[LoadedRow]) -> Counts:
    """Count the rows that were kept, refused and cut."""
    cuts = [item.cut for item in loaded if item.cut is not None]
    return Counts(
        rows=len(loaded),
        kept=len(cuts),
        refused=len(refused_of(loaded)),
        prompts_cut=sum(each.prompt_cut for each in cuts),
        completions_cut=sum(each.responses_cut for each in cuts),
    )


def refused_of(loaded: Sequence[LoadedRow]) -> tuple[Failure, ...]:
    """List the failures of the rows that were refused."""
    return tuple(item.failure for item in loaded if item.failure is not None)


def _examples(loaded: Iterable[LoadedRow]) -> Iterator[Example]:
    kept = ((item.row, item.parsed, item.cut) for item in loaded)
    whole = ((row, parsed, fitted) for row, parsed, fitted in kept if row and parsed and fitted)
    for index, (row, parsed, fitted) in enumerate(whole):
        responses = tuple(np.array(ids, dtype=np.int32) for ids in fitted.responses)
        prompt = np.array(fitted.prompt, dtype=np.int32)
        yield Example(index, row.origin, prompt, responses, parsed.columns)

"""Load a job's rows as examples, and account for every row that was cut or refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from ...contract.cache import cache_folder
from ...contract.failure import Failure
from ...contract.responses import MISMATCHED, PAIR
from .example import Example
from .format import unread_columns
from .judge import Counts, judge
from .key import store_key
from .mismatch import with_mismatched
from .pipeline import LoadedRow, Pipeline, in_order
from .quarantine import write_quarantine
from .rows import Row
from .settings import DataSettings
from .source import read_rows
from .split import held_out
from .store import TOKENS, Examples, Piece, open_stored, piece_of, store_once

__all__ = [
    "Dataset",
    "Part",
    "check_parts",
    "collect",
    "counts_of",
    "load_examples",
    "load_rows",
    "refused_of",
    "rows_of",
    "settle",
]

Part = Literal["train", "eval"]
Refused = tuple[Failure, Any]
"""A failure and the fields of its row, None where the row could not be read."""

TOKENIZED = "tokens"  # a folder of the cache


@dataclass(frozen=True)
class Dataset:
    """Examples in the order of the source, the counts, and a diagnostic for each refused row.

    ``unread`` names the columns that no part of a row is read from.
    """

    examples: Sequence[Example]
    counts: Counts
    refused: tuple[Failure, ...] = ()
    unread: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, row: int) -> Example:
        return self.examples[row]


def load_examples(
    settings: DataSettings, tokenizer: Any, *, which: Part = "train", limit: int | None = None
) -> Dataset:
    """Load the training or the held-out rows as examples, at most ``limit`` rows of the source.

    Raises E705 where too many completions were cut, E706 where too many rows were refused (with each of them
    among its causes), E707 where no row is left; E601, E703 and E709 as the source and the tokenizer demand.
    Without ``settings.eval`` the held-out part is empty.
    """
    dataset, refused = _stored(settings, tokenizer, which, limit)
    settle(dataset.counts, refused, settings, which)
    if MISMATCHED not in settings.responses:
        return dataset
    return replace(dataset, examples=with_mismatched(dataset.examples, settings.seed, settings.max_length))


def collect(
    settings: DataSettings, tokenizer: Any, *, which: Part = "train", limit: int | None = None
) -> Dataset:
    """Load as ``load_examples`` does, but judge nothing: refused rows are only listed."""
    return _stored(settings, tokenizer, which, limit)[0]


def _stored(
    settings: DataSettings, tokenizer: Any, which: Part, limit: int | None
) -> tuple[Dataset, Sequence[Refused]]:
    """Open the token ids of a source, written first where they are not there; with them what was refused."""
    if which == "eval" and settings.eval is None:
        return Dataset((), Counts(0, 0, 0, 0, 0)), ()
    folder = cache_folder() / TOKENIZED / store_key(settings, tokenizer, which, limit)

    def pieces() -> Iterator[Piece]:
        work = partial(_piece, Pipeline(settings, tokenizer), settings)
        return in_order(islice(rows_of(settings, which), limit), work)

    store_once(folder, pieces)
    told = open_stored(folder)
    grouped = settings.kind == "scored" and settings.responses[:2] != PAIR
    examples = Examples(folder / TOKENS, told.kept, grouped) if told.kept else ()
    failures = tuple(failure for failure, _ in told.refused)
    return Dataset(examples, told.counts, failures, told.unread), told.refused


def _piece(pipeline: Pipeline, settings: DataSettings, chunk: list[Row | Failure]) -> Piece:
    loaded = pipeline(chunk)
    rows = [item.row for item in loaded if item.row is not None]
    unread = dict.fromkeys(name for row in rows for name in unread_columns(row.fields, settings))
    return piece_of(loaded, settings.needed, unread)


def settle(counts: Counts, refused: Sequence[Refused], settings: DataSettings, which: Part) -> None:
    """Set refused rows aside where the spec says so, and judge whether the run may go on without them."""
    if not counts.rows:
        check_parts(settings)
    if settings.on_bad_row == "quarantine" and settings.quarantine and refused:
        write_quarantine(Path(settings.quarantine), refused)
    if which == "train" or settings.eval is not None:
        judge(counts, tuple(failure for failure, _ in refused), settings)


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
    """Take every row as far as it gets, and keep it with all its stages in memory."""
    rows = islice(rows_of(settings, which), limit)
    return [row for loaded in in_order(rows, Pipeline(settings, tokenizer)) for row in loaded]


def rows_of(settings: DataSettings, which: Part) -> Iterator[Row | Failure]:
    """Yield the rows of a part of the data, each a row or its failure."""
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


def refused_of(loaded: Sequence[LoadedRow]) -> list[Refused]:
    """List the failures of the rows that were refused, each with the fields of its row."""
    return [(item.failure, item.row and item.row.fields) for item in loaded if item.failure is not None]

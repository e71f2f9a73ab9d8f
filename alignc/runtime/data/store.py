"""Token ids on disk: Arrow files in the cache, written once by content, mapped into memory by every process that reads.

A file is named by a hash of all that decides its ids: the content of the source, the settings, the tokenizer, the
versions of the libraries, and the code that makes them. Whoever comes first writes it. Others wait.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from typing import IO, Any, overload

import numpy as np

from ...contract.failure import Failure
from ..base import fsops
from ..base.console import say
from .example import Column, Example
from .judge import Counts
from .pipeline import LoadedRow

__all__ = ["TOKENS", "Examples", "Piece", "Stored", "open_stored", "piece_of", "store_once"]

TOKENS, ABOUT = "tokens.arrow", "about.json"
PATIENCE = 600.0
"""Seconds without a sign of the process that writes, after which those that wait give up."""
_LOOK = 0.2  # seconds between two looks
_SAY = 5.0  # seconds between two lines for people
_HELD = 64  # batches whose views are kept


@dataclass(frozen=True)
class Piece:
    """What becomes of a chunk of rows: a batch of those that are kept, the counts, the others with their reasons."""

    batch: Any
    counts: Counts
    refused: tuple[tuple[Failure, Any], ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stored:
    """What is said of a source beside its token ids. ``refused`` has each failure with the fields of its row."""

    kept: tuple[int, ...] = ()
    counts: Counts = field(default_factory=lambda: Counts(0, 0, 0, 0, 0))
    refused: tuple[tuple[Failure, Any], ...] = ()
    unread: tuple[str, ...] = ()


def piece_of(loaded: Sequence[LoadedRow], needed: Sequence[str], unread: Iterable[str]) -> Piece:
    """Put the kept rows of a chunk into a batch of Arrow, and count them."""
    kept = [(item.row, item.parsed, item.cut) for item in loaded]
    whole = [(row, parsed, cut) for row, parsed, cut in kept if row and parsed and cut]
    columns = {
        "origin": [row.origin for row, _, _ in whole],
        "prompt": _lists([cut.prompt for _, _, cut in whole]),
        "responses": _nested([cut.responses for _, _, cut in whole]),
    }
    numbers = {f"={name}": [_listed(parsed.columns[name]) for _, parsed, _ in whole] for name in needed}
    failed = tuple(
        (item.failure, item.row and item.row.fields) for item in loaded if item.failure is not None
    )
    counts = Counts(
        rows=len(loaded),
        kept=len(whole),
        refused=len(failed),
        prompts_cut=sum(cut.prompt_cut for _, _, cut in whole),
        completions_cut=sum(cut.responses_cut for _, _, cut in whole),
    )
    return Piece(_batch(columns, numbers), counts, failed, tuple(unread))


def _listed(value: float | tuple[float, ...]) -> list[float]:
    return list(value) if isinstance(value, tuple) else [value]


def _lists(rows: Sequence[Sequence[int]]) -> Any:
    import pyarrow as pa  # type: ignore[import-untyped]

    ends = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    flat = np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=int(ends[-1]))
    return pa.LargeListArray.from_arrays(ends, flat)


def _nested(rows: Sequence[Sequence[Sequence[int]]]) -> Any:
    import pyarrow as pa

    ends = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return pa.LargeListArray.from_arrays(ends, _lists([response for row in rows for response in row]))


def _batch(columns: dict[str, Any], numbers: dict[str, Any]) -> Any:
    import pyarrow as pa

    wide = {name: pa.array(values, type=pa.large_list(pa.float64())) for name, values in numbers.items()}
    origin = pa.array(columns.pop("origin"), type=pa.string())
    return pa.RecordBatch.from_pydict({"origin": origin, **columns, **wide})


class Examples(Sequence[Example]):
    """The rows of a store, made when they are asked for; none stays in memory.

    ``grouped`` says that a number of a row is a list, one for each response.
    """

    def __init__(self, path: Path, kept: Sequence[int], grouped: bool) -> None:
        self.path, self.grouped = path, grouped
        self.ends = np.cumsum(np.array(kept, dtype=np.int64))
        self.views = lru_cache(maxsize=_HELD)(self._views)

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    @overload
    def __getitem__(self, row: int) -> Example: ...
    @overload
    def __getitem__(self, row: slice) -> Sequence[Example]: ...
    def __getitem__(self, row: int | slice) -> Example | Sequence[Example]:
        if isinstance(row, slice):
            return [self[place] for place in range(*row.indices(len(self)))]
        place = row + len(self) if row < 0 else row
        if not 0 <= place < len(self):
            raise IndexError(f"there are {len(self)} rows, and no row {row}")
        batch = int(np.searchsorted(self.ends, place, side="right"))
        before = int(self.ends[batch - 1]) if batch else 0
        return self._example(self.views(batch), place - before, place)

    def __iter__(self) -> Iterator[Example]:
        return (self[place] for place in range(len(self)))

    @cached_property
    def reader(self) -> Any:
        """The mapped file."""
        import pyarrow as pa

        return pa.ipc.open_file(pa.memory_map(str(self.path)))

    def _views(self, batch: int) -> dict[str, Any]:
        """Take views of a batch's columns; they are parts of the mapped file."""
        columns = self.reader.get_batch(batch)
        responses = columns["responses"]
        views = {
            "origin": columns["origin"],
            "prompt": _parts(columns["prompt"]),
            "responses": (responses.offsets.to_numpy(), *_parts(responses.values)),
        }
        return views | {name: columns[name] for name in columns.schema.names if name.startswith("=")}

    def _example(self, views: dict[str, Any], at: int, row: int) -> Example:
        ends, tokens = views["prompt"]
        rows, marks, ids = views["responses"]
        responses = tuple(np.array(ids[marks[r] : marks[r + 1]]) for r in range(rows[at], rows[at + 1]))
        columns: dict[str, Column] = {}
        for name in views:
            if name.startswith("="):
                values = views[name][at].as_py()
                columns[name[1:]] = tuple(values) if self.grouped else values[0]
        return Example(
            row, views["origin"][at].as_py(), np.array(tokens[ends[at] : ends[at + 1]]), responses, columns
        )


def _parts(lists: Any) -> tuple[Any, Any]:
    return lists.offsets.to_numpy(), lists.values.to_numpy()


def store_once(folder: Path, pieces: Callable[[], Iterator[Piece]], patience: float = PATIENCE) -> None:
    """Write a store into ``folder`` unless it is there. Failure E608 for a full disk, E804 for a wait that is vain."""
    if (folder / ABOUT).exists():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_name(f"{folder.name}.lock").open("a") as lock:
            _wait_for(lock, patience)
            if not (folder / ABOUT).exists():
                _write(folder, pieces(), lock)
    except OSError as error:
        raise Failure(
            "E608",
            f"the token ids cannot be written into the cache: {error.strerror or error}",
            help="free space on this disk, or set ALIGNC_CACHE to a folder on another one",
            file=str(folder),
        ) from error


def _wait_for(lock: IO[str], patience: float) -> None:
    """Take the lock; as long as its holder gives signs of life, wait."""
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.utime(lock.fileno())
            return
        except BlockingIOError:
            silent = time.time() - os.fstat(lock.fileno()).st_mtime
        if silent > patience:
            raise Failure(
                "E804",
                f"another process tokenizes these rows, but gave no sign of life for {silent:.0f} seconds",
                help="end that process, and start again; what it had written is not used",
                file=lock.name,
            )
        time.sleep(_LOOK)


def _write(folder: Path, pieces: Iterator[Piece], lock: IO[str]) -> None:
    import pyarrow as pa

    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    fsops.make_folder(aside)
    try:
        said, whole, writer = time.monotonic(), _Sum(), None
        for piece in pieces:
            if writer is None:
                writer = pa.ipc.new_file(str(aside / TOKENS), piece.batch.schema)
            writer.write_batch(piece.batch)
            whole.add(piece)
            os.utime(lock.fileno())
            if time.monotonic() - said > _SAY:
                said = time.monotonic()
                say(f"tokens  {whole.counts.rows} rows")
        if writer is not None:
            writer.close()
        fsops.write_text(aside / ABOUT, json.dumps(whole.as_plain(), default=str))
        fsops.sync_tree(aside)
        fsops.remove(folder)
        fsops.rename(aside, folder)
    finally:
        fsops.remove(aside)


class _Sum:
    """What is said of all pieces together."""

    def __init__(self) -> None:
        self.kept: list[int] = []
        self.counts = Counts(0, 0, 0, 0, 0)
        self.refused: list[dict[str, Any]] = []
        self.unread: dict[str, None] = {}

    def add(self, piece: Piece) -> None:
        """Add a piece."""
        self.kept.append(piece.counts.kept)
        both = zip(vars(self.counts).items(), vars(piece.counts).values(), strict=True)
        self.counts = Counts(**{name: ours + more for (name, ours), more in both})
        self.refused += [{**_plain(failure), "row": row} for failure, row in piece.refused]
        self.unread |= dict.fromkeys(piece.unread)

    def as_plain(self) -> dict[str, Any]:
        """Return everything as JSON takes it."""
        return {
            "kept": self.kept,
            "counts": vars(self.counts),
            "refused": self.refused,
            "unread": list(self.unread),
        }


_OF_FAILURE = ("code", "message", "why", "help", "file", "line", "column")


def _plain(failure: Failure) -> dict[str, Any]:
    return {name: getattr(failure, name) for name in _OF_FAILURE}


def open_stored(folder: Path) -> Stored:
    """Read what is said of a store."""
    about = json.loads((folder / ABOUT).read_text("utf-8"))
    refused = tuple((_failure(each), each["row"]) for each in about["refused"])
    return Stored(tuple(about["kept"]), Counts(**about["counts"]), refused, tuple(about["unread"]))


def _failure(plain: dict[str, Any]) -> Failure:
    known = {name: plain[name] for name in _OF_FAILURE[2:]}
    return Failure(plain["code"], plain["message"], **known)

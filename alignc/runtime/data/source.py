"""Read rows from where a spec says they are: files, a folder, or a data set of the hub. All rows come this way."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from glob import glob, has_magic
from itertools import islice
from pathlib import Path

from ...contract.failure import Failure
from .hub import FromHub, read_hub, read_hub_files, read_saved
from .jsonl import read_json, read_jsonl
from .opened import suffix_of
from .rows import Row
from .tables import read_arrow, read_csv, read_parquet, read_tsv

__all__ = ["FromHub", "files_of", "read_rows"]

_READERS: dict[str, Callable[[Path], Iterator[Row | Failure]]] = {
    ".arrow": read_arrow,
    ".csv": read_csv,
    ".json": read_json,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
    ".tsv": read_tsv,
}
_SAVED = ("state.json", "dataset_dict.json")
_HUB_FILES = "hf://"


def read_rows(
    source: str, split: str = "train", limit: int | None = None, hub: FromHub | None = None
) -> Iterator[Row | Failure]:
    """Yield the rows of files, a folder or a hub id, at most ``limit``, each a row or its failure.

    A source is a file, a pattern of files, a folder, `hf://datasets/OWNER/NAME/FILE` or a hub id. Raises E703 where
    there is no such file or it can't be read as a whole, E601 where the hub doesn't answer.
    """
    hub = hub or FromHub()
    path = Path(source)
    rows: Iterator[Row | Failure]
    if source.startswith(_HUB_FILES):
        rows = (row for file in read_hub_files(source) for row in _read_file(file))
    elif (files := files_of(source, split, hub)) is not None:
        rows = (row for file in files for row in _read_file(file))
    elif path.is_dir():
        rows = read_saved(path, split)
    else:
        rows = read_hub(source, split, hub)
    return islice(rows, limit)


def files_of(source: str, split: str, hub: FromHub) -> list[Path] | None:
    """List the files of a source in the order that they are read; None for what `datasets` reads."""
    path = Path(source)
    if source.startswith(_HUB_FILES):
        return None
    if path.is_dir():
        saved = any((path / name).exists() for name in _SAVED)
        return None if saved else _files_of_folder(path, split, hub)
    if has_magic(source) and not path.exists():
        return _matches(source)
    local = path.exists() or path.is_absolute() or suffix_of(path) in _READERS
    return [path] if local else None


def _matches(pattern: str) -> list[Path]:
    found = sorted(Path(name) for name in glob(pattern, recursive=True) if Path(name).is_file())
    if found:
        return found
    raise Failure(
        "E703",
        f"no file matches `{pattern}`",
        why="`*` stands for any name in a folder, and `**` for any folders",
        help="correct `data.source`; a relative pattern starts at the folder of the spec",
        file=pattern,
    )


def _read_file(path: Path) -> Iterator[Row | Failure]:
    reader = _READERS.get(suffix_of(path))
    if reader is None:
        raise _unknown_suffix(path)
    try:
        yield from reader(path)
    except (EOFError, zlib.error) as error:
        raise _unreadable(
            path, str(error), "the file is packed with gzip, but a part is missing or damaged"
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise _unreadable(path, reason, "the file system refused to open the file") from error


def _unreadable(path: Path, reason: str, why: str) -> Failure:
    return Failure(
        "E703",
        f"`{path}` cannot be read: {reason}",
        why=why,
        help="correct `data.source`, or the permissions of the file, or write the file again",
        file=str(path),
    )


def _unknown_suffix(path: Path) -> Failure:
    known = ", ".join(sorted(_READERS))
    return Failure(
        "E703",
        f"`{path.name}` has none of the suffixes {known}",
        why="the suffix of a file decides its format; a further `.gz` says that the file is packed",
        help="convert the file to JSON Lines, CSV or parquet",
        file=str(path),
    )


def _files_of_folder(folder: Path, split: str, hub: FromHub) -> list[Path]:
    """Choose the data files whose path names the split; a single file needs no such name for `train`."""
    if hub.data_files:
        return [file for pattern in hub.patterns for file in _matches(str(folder / pattern))]
    files = sorted(path for path in folder.rglob("*") if suffix_of(path) in _READERS)
    word = re.compile(rf"(?<![a-z0-9]){re.escape(split.lower())}(?![a-z0-9])")
    chosen = [path for path in files if word.search(str(path.relative_to(folder)).lower())]
    if chosen or (split == "train" and len(files) == 1):
        return chosen or files
    names = ", ".join(str(path.relative_to(folder)) for path in files) or "no data files"
    raise Failure(
        "E703",
        f"the folder has no file of the split `{split}`; its files are: {names}",
        why="alignc reads the data files whose path contains the name of the split",
        help="set `data.split` or `data.data_files`, or name a file"
        if files
        else "correct `data.source`, or put the data into this folder",
        file=str(folder),
    )

"""Read rows from where a spec says they are: a file, a folder, or a data set of the hub."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ...contract.failure import Failure
from ..base.hub import offline_unless_reachable
from .jsonl import read_jsonl
from .rows import Row

__all__ = ["read_rows"]

_CELL_LIMIT = 1 << 27  # the csv module's own limit, 128 KiB, is shorter than some conversations
_OTHER_MARKS = {";": "semicolons", "\t": "tabs"}


def read_rows(source: str, split: str = "train", limit: int | None = None) -> Iterator[Row | Failure]:
    """Yield the rows of a file, a folder or a hub id, at most ``limit``, each a row or its failure.

    Raises E703 where there is no such file or it can't be read as a whole, E601 where the hub doesn't answer.
    """
    path = Path(source)
    if path.is_dir():
        rows = _read_folder(path, split)
    elif path.exists() or path.is_absolute() or path.suffix in _READERS:
        rows = _read_file(path)
    else:
        rows = _read_hub(source, split)
    return islice(rows, limit)


def _read_file(path: Path) -> Iterator[Row | Failure]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise _unknown_suffix(path)
    try:
        yield from reader(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise Failure(
            "E703",
            f"`{path}` cannot be read: {reason}",
            why="the file system refused to open the file",
            help="correct `data.source`, or the permissions of the file",
            file=str(path),
        ) from error


def _unknown_suffix(path: Path) -> Failure:
    known = ", ".join(sorted(_READERS))
    lines = (
        "write one object per line (JSON Lines) and use the suffix `.jsonl`: `jq -c '.[]' A.json > A.jsonl`"
    )
    return Failure(
        "E703",
        f"`{path.name}` has none of the suffixes {known}",
        why="the suffix of a file decides its format",
        help=lines if path.suffix.lower() == ".json" else "convert the file to JSON Lines, CSV or parquet",
        file=str(path),
    )


def _read_csv(path: Path) -> Iterator[Row | Failure]:
    csv.field_size_limit(_CELL_LIMIT)
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.reader(lines, strict=True)
        try:
            header = next(reader, [])
            _check_commas(header, path)
            start = reader.line_num + 1
            for cells in reader:
                if cells:
                    yield _csv_row(header, cells, str(path), start)
                start = reader.line_num + 1
        except (csv.Error, UnicodeDecodeError) as error:
            message = f"the file is not CSV from here on: {error}"
            raise Failure("E703", message, file=str(path), line=reader.line_num) from error


def _check_commas(header: Sequence[str], path: Path) -> None:
    """Raise E703 for a header that another mark than the comma parts: each row would be one cell."""
    mark = next((name for sign, name in _OTHER_MARKS.items() if sign in "".join(header)), None)
    if len(header) == 1 and mark:
        raise Failure(
            "E703",
            f"the columns of `{path.name}` are separated by {mark}, not by commas",
            why="commas separate the cells of a CSV file, so this header would be one long name",
            help="save the file with commas, or as JSON Lines",
            file=str(path),
            line=1,
        )


def _csv_row(header: Sequence[str], cells: Sequence[str], file: str, line: int) -> Row | Failure:
    if len(cells) != len(header):
        return Failure(
            "E703",
            f"the row has {len(cells)} cells, but the header has {len(header)} columns",
            file=file,
            line=line,
            column=1,
        )
    return Row(dict(zip(header, cells, strict=True)), file, line)


def _read_parquet(path: Path) -> Iterator[Row | Failure]:
    from pyarrow import ArrowException  # type: ignore[import-untyped]
    from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped]

    try:
        with ParquetFile(path) as file:
            batches = file.iter_batches(batch_size=1024)
            yield from _numbered((row for batch in batches for row in batch.to_pylist()), str(path))
    except ArrowException as error:
        raise Failure(
            "E703",
            f"`{path.name}` is not parquet: {error}",
            why="the suffix is that of parquet, but the content is another format or is incomplete",
            help="write or download the file again, or correct its suffix",
            file=str(path),
        ) from error


def _numbered(fields: Any, file: str) -> Iterator[Row]:
    return (Row(row, file, number, numbered=True) for number, row in enumerate(fields, start=1))


_READERS: dict[str, Callable[[Path], Iterator[Row | Failure]]] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


def _read_folder(folder: Path, split: str) -> Iterator[Row | Failure]:
    if (folder / "state.json").exists() or (folder / "dataset_dict.json").exists():
        yield from _read_saved(folder, split)
        return
    for path in _files_of_split(folder, split):
        yield from _read_file(path)


def _files_of_split(folder: Path, split: str) -> list[Path]:
    """Choose the data files whose path names the split; a single file needs no such name for `train`."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _READERS)
    word = re.compile(rf"(?<![a-z0-9]){re.escape(split.lower())}(?![a-z0-9])")
    chosen = [path for path in files if word.search(str(path.relative_to(folder)).lower())]
    if chosen or (split == "train" and len(files) == 1):
        return chosen or files
    names = ", ".join(str(path.relative_to(folder)) for path in files) or "no data files"
    raise Failure(
        "E703",
        f"the folder has no file of the split `{split}`; its files are: {names}",
        why="alignc reads the JSON Lines, CSV and parquet files whose path contains the name of the split",
        help="set `data.split`, or name a file"
        if files
        else "correct `data.source`, or put the data into this folder",
        file=str(folder),
    )


def _read_saved(folder: Path, split: str) -> Iterator[Row]:
    """Read a folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote."""
    from datasets import DatasetDict, load_from_disk

    try:
        saved = load_from_disk(str(folder))
    except Exception as error:  # whatever the reader of a foreign folder runs into, the folder is the cause
        raise Failure(
            "E703",
            f"the saved data set cannot be read: {error}",
            why="`save_to_disk` wrote this folder, but a part is missing or damaged",
            help="save the data set again",
            file=str(folder),
        ) from error
    if isinstance(saved, DatasetDict):
        if split not in saved:
            message = f"the data set has no split `{split}`; its splits are {', '.join(saved)}"
            raise Failure("E703", message, file=str(folder), help="set `data.split`")
        saved = saved[split]
    return _numbered(saved, f"{folder.name}[{split}]")


def _read_hub(name: str, split: str) -> Iterator[Row]:
    import datasets

    offline_unless_reachable()
    try:
        rows = datasets.load_dataset(name, split=split)
    except Exception as error:  # the hub's library raises a dozen kinds, its own and its dependencies'
        raise _hub_failure(name, split, error) from error
    return _numbered(rows, f"{name}[{split}]")


def _hub_failure(name: str, split: str, error: Exception) -> Failure:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        message = f"the data set `{name}` does not have these rows: {reason}"
        return Failure("E703", message, help=f"`data.split` is `{split}`; choose a split of the data set")
    offline = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("HF_DATASETS_OFFLINE")
    return Failure(
        "E601",
        f"the data set `{name}` is not on the disk, and the hub did not provide it: {reason}",
        why="HF_HUB_OFFLINE forbids access to the hub" if offline else None,
        help="check the id and the network (HF_ENDPOINT, HTTPS_PROXY, HF_TOKEN for gated data), "
        "or set `data.source` to a JSONL, CSV or parquet file, or to a folder of such files",
    )

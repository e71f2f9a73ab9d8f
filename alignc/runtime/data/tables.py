"""Read tables: CSV and TSV files, parquet and Arrow files. A column must not stand twice."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from ...contract.failure import Failure
from .opened import opened
from .rows import Row

__all__ = ["numbered", "read_arrow", "read_csv", "read_parquet", "read_tsv"]

_CELL_LIMIT = 1 << 27  # the csv module's own limit, 128 KiB, is shorter than some conversations
_OTHER_MARKS = {";": "semicolons", "\t": "tabs"}
_BATCH = 1024


def read_csv(path: Path) -> Iterator[Row | Failure]:
    """Yield the rows of a file with commas; raises E703 where the header can't be used."""
    return _read_text(path, ",")


def read_tsv(path: Path) -> Iterator[Row | Failure]:
    """Yield the rows of a file with tabs."""
    return _read_text(path, "\t")


def _read_text(path: Path, mark: str) -> Iterator[Row | Failure]:
    csv.field_size_limit(_CELL_LIMIT)
    with opened(path, encoding="utf-8-sig") as lines:
        reader = csv.reader(lines, strict=True, delimiter=mark)
        try:
            header = next(reader, [])
            _check_mark(header, path, mark)
            _check_once(header, path)
            start = reader.line_num + 1
            for cells in reader:
                if cells:
                    yield _row(header, cells, str(path), start)
                start = reader.line_num + 1
        except (csv.Error, UnicodeDecodeError) as error:
            message = f"the file is not {'CSV' if mark == ',' else 'TSV'} from here on: {error}"
            raise Failure("E703", message, file=str(path), line=reader.line_num) from error


def _check_mark(header: Sequence[str], path: Path, mark: str) -> None:
    """Raise E703 for a CSV header that another mark than the comma parts: each row would be one cell."""
    other = next((name for sign, name in _OTHER_MARKS.items() if sign in "".join(header)), None)
    if mark == "," and len(header) == 1 and other:
        raise Failure(
            "E703",
            f"the columns of `{path.name}` are separated by {other}, not by commas",
            why="commas separate the cells of a CSV file, so this header would be one long name",
            help="save the file with commas, or as JSON Lines"
            + ("; a file with tabs has the suffix `.tsv`" if other == "tabs" else ""),
            file=str(path),
            line=1,
        )


def _check_once(names: Iterable[str], path: Path) -> None:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise Failure(
            "E703",
            f"the column `{twice[0]}` of `{path.name}` stands twice",
            why="only one of the two columns could be read, and the other would be lost",
            help="delete or rename one of the columns",
            file=str(path),
            line=1,
        )


def _row(header: Sequence[str], cells: Sequence[str], file: str, line: int) -> Row | Failure:
    if len(cells) != len(header):
        return Failure(
            "E703",
            f"the row has {len(cells)} cells, but the header has {len(header)} columns",
            file=file,
            line=line,
            column=1,
        )
    return Row(dict(zip(header, cells, strict=True)), file, line)


def read_parquet(path: Path) -> Iterator[Row | Failure]:
    """Yield the rows of a parquet file, a batch at a time; nested columns become objects and lists."""
    from pyarrow import ArrowException  # type: ignore[import-untyped]
    from pyarrow.parquet import ParquetFile  # type: ignore[import-untyped]

    try:
        with ParquetFile(path) as file:
            _check_once(file.schema_arrow.names, path)
            batches = file.iter_batches(batch_size=_BATCH)
            yield from numbered((row for batch in batches for row in batch.to_pylist()), str(path))
    except ArrowException as error:
        raise _broken(path, "parquet", error) from error


def read_arrow(path: Path) -> Iterator[Row | Failure]:
    """Yield the rows of an Arrow file: the stream that `datasets` writes, or the file format."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as file:
            yield from numbered(chain.from_iterable(_arrow_batches(pa, file, path)), str(path))
    except pa.ArrowException as error:
        raise _broken(path, "Arrow", error) from error


def _arrow_batches(pa: Any, file: Any, path: Path) -> Iterator[list[dict[str, Any]]]:
    try:
        reader = pa.ipc.open_file(file)
        batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
    except pa.ArrowInvalid:
        file.seek(0)
        reader = pa.ipc.open_stream(file)
        batches = iter(reader)
    _check_once(reader.schema.names, path)
    return (batch.to_pylist() for batch in batches)


def _broken(path: Path, name: str, error: Exception) -> Failure:
    return Failure(
        "E703",
        f"`{path.name}` is not {name}: {error}",
        why=f"the suffix is that of {name}, but the content is another format or is incomplete",
        help="write or download the file again, or correct its suffix",
        file=str(path),
    )


def numbered(fields: Iterable[dict[str, Any]], file: str) -> Iterator[Row]:
    """Number the rows of a source that has no lines, from 1."""
    return (Row(row, file, number, numbered=True) for number, row in enumerate(fields, start=1))

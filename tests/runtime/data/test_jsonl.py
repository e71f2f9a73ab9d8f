from __future__ import annotations

from pathlib import Path

import pytest

from alignc.contract.failure import Failure
from alignc.runtime.data.jsonl import read_jsonl
from alignc.runtime.data.rows import Row


def only(path: Path) -> Row | Failure:
    (item,) = read_jsonl(path)
    return item


def test_rows_know_their_lines_and_blank_lines_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n  \r\n{"a": "\xc3\xa9"}\r\n')
    rows = [row for row in read_jsonl(path) if isinstance(row, Row)]
    assert [(row.fields, row.line, row.origin) for row in rows] == [
        ({"a": 1}, 1, "a.jsonl:1"),
        ({"a": "é"}, 4, "a.jsonl:4"),
    ]


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        (b'{"a": 1', 8, "not JSON"),
        (b"{'a': 1}", 2, "not JSON"),
        (b'{"a": tru}', 7, "not JSON"),
        (b'{"a": 1} {"b": 2}', 10, "not JSON"),
        (b'{"a": "\xc3\xa9\xff"}', 9, "not UTF-8"),
        (b"[1, 2]", 1, "not a JSON object but an array"),
        (b'"text"', 1, "not a JSON object but a string"),
        (b"null", 1, "not a JSON object but null"),
        (b"true", 1, "not a JSON object but a boolean"),
        (b"3.5", 1, "not a JSON object but a number"),
        (b'{"a": 1, "b": 2, "a": 3}', 1, "the key `a` occurs twice"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 1, "nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", 1, "not a row"),
    ],
)
def test_a_bad_line_is_located(tmp_path: Path, line: bytes, column: int, words: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(b"\n" + line + b"\n")
    failure = only(path)
    assert isinstance(failure, Failure)
    assert (failure.code, failure.file, failure.line, failure.column) == ("E703", str(path), 2, column)
    assert words in failure.message


def test_the_last_line_needs_no_newline(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"a": 1}')
    row = only(tmp_path / "a.jsonl")
    assert isinstance(row, Row)
    assert row.fields == {"a": 1}

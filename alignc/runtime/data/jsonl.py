"""Read JSON Lines and JSON arrays so that each row knows its line, and each bad line its column."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from ...contract.failure import Failure
from .opened import opened
from .rows import Row

__all__ = ["read_json", "read_jsonl"]

T = TypeVar("T")

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANK = " \t\r\n"
_PIECE = 1 << 20


def read_jsonl(path: Path) -> Iterator[Row | Failure]:
    """Yield a row, or its failure (E703), for each line that is not blank. Only a newline ends a line."""
    with opened(path) as lines:
        for number, line in enumerate(lines, start=1):
            text = (line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line).rstrip()
            if text:
                yield _parse(text, str(path), number)


def read_json(path: Path) -> Iterator[Row | Failure]:
    """Yield the rows of a file that is an array of objects, or that is JSON Lines under another name."""
    with opened(path) as file:
        first = file.read(1 << 16).removeprefix(_BYTE_ORDER_MARK).lstrip()[:1]
    if first != b"[":
        yield from read_jsonl(path)
        return
    with opened(path) as file:
        yield from _Array(file, str(path)).rows()


def _parse(line: bytes, file: str, number: int) -> Row | Failure:
    def bad(message: str, column: int = 1) -> Failure:
        return Failure("E703", message, file=file, line=number, column=column)

    try:
        value = json.loads(line.decode("utf-8"), object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        return bad("the line is not UTF-8", len(line[: error.start].decode("utf-8")) + 1)
    except json.JSONDecodeError as error:
        return bad(f"the line is not JSON: {error.msg}", error.colno)
    except RecursionError:
        return bad("the line is nested too deeply")
    except ValueError as error:
        return bad(f"the line is not a row: {error}")
    if not isinstance(value, dict):
        return bad(f"the line is not a JSON object but {_kind(value)}")
    return Row(value, file, number)


class _Array:
    """Reads an array object by object, and keeps no more of the file than one object and a piece."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.file, self.name = file, name
        self.faults: list[str] = []  # of the value at hand
        self.decoder = json.JSONDecoder(object_pairs_hook=self._pairs, parse_int=self._integer)
        self.unicode = codecs.getincrementaldecoder("utf-8-sig")()
        self.text, self.place, self.line, self.column, self.whole = "", 0, 1, 1, False

    def rows(self) -> Iterator[Row | Failure]:
        """Yield the rows; raises E703 where the array itself is broken, for no row can be found behind that."""
        self._skip("[")
        if self._next() == "]":
            return self._skip("]")
        while True:
            self._next()
            line, column = self.line, self.column
            yield self._row(self._value(), line, column)
            if self._next() == "]":
                return self._skip("]")
            self._skip(",")

    def _pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return self._noted(_object, pairs, dict(pairs))

    def _integer(self, digits: str) -> int:
        return self._noted(int, digits, 0)

    def _noted(self, read: Callable[[Any], T], text: Any, instead: T) -> T:
        """Read a part of a value; a fault concerns this value alone."""
        try:
            return read(text)
        except ValueError as error:
            self.faults.append(str(error))
            return instead

    def _row(self, value: Any, line: int, column: int) -> Row | Failure:
        fault = self.faults[0] if self.faults else ""
        if isinstance(value, dict) and not fault:
            return Row(value, self.name, line)
        message = (
            f"the item is not a row: {fault}"
            if fault
            else f"the item is not a JSON object but {_kind(value)}"
        )
        return Failure("E703", message, file=self.name, line=line, column=column)

    def _more(self, size: int = _PIECE) -> bool:
        """Read on; what is behind us is forgotten."""
        if self.whole:
            return False
        piece = self.file.read(size)
        self.whole = not piece
        try:
            new = self.unicode.decode(piece, final=self.whole)
        except UnicodeDecodeError as error:
            raise self._broken("it is not UTF-8") from error
        self.text, self.place = self.text[self.place :] + new, 0
        return True

    def _next(self) -> str:
        """Go to the next character that is not blank, and return it; "" at the end."""
        while True:
            while self.place < len(self.text):
                if self.text[self.place] not in _BLANK:
                    return self.text[self.place]
                self._pass(self.place + 1)
            if not self._more():
                return ""

    def _skip(self, wanted: str) -> None:
        found = self._next()
        if found != wanted:
            raise self._broken(f"`{wanted}` is expected here, not {f'`{found}`' if found else 'the end'}")
        self._pass(self.place + 1)

    def _value(self) -> Any:
        """Read a value, and more of the file for as long as it may go on."""
        size = _PIECE
        while True:
            self.faults.clear()
            try:
                value, end = self.decoder.raw_decode(self.text, self.place)
            except json.JSONDecodeError as error:
                if self._more(size):
                    size *= 2
                    continue
                self._pass(min(error.pos, len(self.text)))
                raise self._broken(error.msg) from error
            except RecursionError:
                raise self._broken("it is nested too deeply") from None
            if end == len(self.text) and self._more(size):  # a number may go on
                size *= 2
                continue
            self._pass(end)
            return value

    def _pass(self, end: int) -> None:
        """Go on to a place of the text, and count its lines."""
        last = self.text.rfind("\n", self.place, end)
        if last >= 0:
            self.line += self.text.count("\n", self.place, end)
            self.column = end - last
        else:
            self.column += end - self.place
        self.place = end

    def _broken(self, reason: str) -> Failure:
        return Failure(
            "E703",
            f"the file is not a JSON array from here on: {reason}",
            why="a file that begins with `[` is read as one array of objects",
            help="correct the file, or write one object per line (JSON Lines)",
            file=self.name,
            line=self.line,
            column=self.column,
        )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object; of two values under one key JSON would silently keep the last."""
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key `{twice}` occurs twice")
    return result


def _kind(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")

"""Read JSON Lines so that each row knows its line, and each bad line its column."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...contract.failure import Failure
from .rows import Row

__all__ = ["read_jsonl"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_jsonl(path: Path) -> Iterator[Row | Failure]:
    """Yield a row, or its failure (E703), for each line that is not blank."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            text = (line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line).rstrip()
            if text:
                yield _parse(text, str(path), number)


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

"""The number and the length of rows, read from small local JSON Lines and CSV files; nothing is guessed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignc.contract.layouts import FRAME, TEXT_KEYS, columns_of
from alignc.contract.responses import GROUP, PAIR, SINGLE

__all__ = ["Lengths", "measure"]

LARGEST = 1 << 26
"""The largest source in bytes that a plan reads; a larger source takes too long."""
CHARACTERS = 4.0
"""The average number of characters of a token in English text under the usual vocabularies."""
MARKS = 8
"""Tokens that a chat template puts around a message."""
PROMPT = ("prompt", *FRAME)
TEXTS = ("content", "value", *TEXT_KEYS)
RESPONSES = {
    "pairwise": PAIR,
    "pointwise": SINGLE,
    "demonstrations": SINGLE,
    "scored": GROUP,
}


@dataclass(frozen=True)
class Lengths:
    """Rows of a source, and tokens of a prompt and of one response: means and the longest. None: not known."""

    rows: int | None = None
    prompt: float | None = None
    response: float | None = None
    longest_prompt: int | None = None
    longest_response: int | None = None
    responses: float | None = None
    note: str = ""


def measure(data: Mapping[str, Any], *, bytes_a_token: bool) -> Lengths:
    """Count a local source's rows and tokens. `bytes_a_token`: under the `bytes` tokenizer a token is a byte."""
    path = Path(str(data["source"]))
    if not str(path).startswith("/"):
        return Lengths(note="a data set of the hub: not read")
    if not path.is_file():
        return Lengths(note="a folder: not read" if path.is_dir() else "the file does not exist")
    if path.suffix not in (".jsonl", ".json", ".csv"):
        return Lengths(note=f"{path.suffix or 'this kind of file'} is not read")
    if path.stat().st_size > LARGEST:
        return Lengths(note=f"larger than {LARGEST >> 20} MiB: not read")
    try:
        found = [row for row in _rows(path) if isinstance(row, Mapping)]
    except (OSError, ValueError) as error:
        return Lengths(note=f"cannot be read: {error}")
    if data.get("max_rows"):
        found = found[: int(data["max_rows"])]
    return _summed(found, data, bytes_a_token)


def _rows(path: Path) -> Iterator[Any]:
    text = path.read_text("utf-8-sig")
    if path.suffix == ".csv":
        yield from csv.DictReader(io.StringIO(text, newline=""))
    elif path.suffix == ".json" and text.lstrip().startswith("["):
        yield from json.loads(text)
    else:
        yield from (json.loads(line) for line in text.split("\n") if line.strip())


def _summed(rows: list[Mapping[str, Any]], data: Mapping[str, Any], bytes_a_token: bool) -> Lengths:
    kind, named = str(data["kind"]), data.get("columns") or {}
    layouts = [columns_of(kind, row, named) for row in rows]
    prompts = [
        sum(_tokens(_at(row, columns[part]), bytes_a_token) for part in PROMPT if part in columns)
        for row, columns in zip(rows, layouts, strict=True)
    ]
    answers = [
        [_tokens(text, bytes_a_token) + 1 for text in _responses(row, kind, columns)]
        for row, columns in zip(rows, layouts, strict=True)
    ]
    every = [length for one in answers for length in one]
    return Lengths(
        rows=len(rows),
        prompt=_mean(prompts),
        response=_mean(every),
        longest_prompt=max(prompts, default=None),
        longest_response=max(every, default=None),
        responses=_mean([len(one) for one in answers]),
    )


def _responses(row: Mapping[str, Any], kind: str, columns: Mapping[str, str]) -> list[Any]:
    names = RESPONSES.get(kind, ())
    found = [_at(row, columns.get(name, name)) for name in names]
    if "messages" in columns:
        found = [_at(row, columns["messages"]), *found[1:]]
    flat = found[0] if kind == "scored" and found and isinstance(found[0], list) else found
    return [text for text in flat if text is not None]


def _at(row: Any, column: str) -> Any:
    if isinstance(row, Mapping) and column in row:
        return row[column]
    for step in column.split("."):
        row = row.get(step) if isinstance(row, Mapping) else None
    return row


def _tokens(value: Any, bytes_a_token: bool) -> int:
    if isinstance(value, list):
        return sum(_tokens(message, bytes_a_token) + MARKS for message in value)
    if isinstance(value, Mapping):
        return _tokens(next((value[key] for key in TEXTS if value.get(key)), ""), bytes_a_token)
    text = value if isinstance(value, str) else ""
    return len(text.encode()) if bytes_a_token else round(len(text) / CHARACTERS)


def _mean(values: list[int]) -> float | None:
    return sum(values) / len(values) if values else None

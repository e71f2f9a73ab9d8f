"""Single-edit misspellings of every key of a spec, and where each one ends up."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignc.diagnostics import Span
from alignc.yaml.source import Source, parse_source

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Misspelling:
    """A spec's text with one key misspelt: the word meant, what stands there, and where.

    `place` is the same for keys that the same rules decide on, whichever spec they stand in.
    """

    text: str
    place: tuple[object, ...]
    meant: str
    written: str
    line: int
    column: int


def keys(text: str, file: str) -> list[tuple[Span, tuple[object, ...], str, frozenset[str]]]:
    """List every key with its span, its place and its siblings."""
    source = parse_source(text, file)
    paths = [path for path, spans in source.spans.items() if spans.key is not None and not own(path, source)]
    siblings = {p[:-1]: frozenset(str(q[-1]) for q in paths if q[:-1] == p[:-1]) for p in paths}
    return [(source.key_span(p), place(p, source.data), str(p[-1]), siblings[p[:-1]]) for p in paths]


def own(path: tuple[str | int, ...], source: Source) -> bool:
    """Tell whether a key is a name that the spec itself chose: that of a source, or of a term it adds."""
    if path[:-1] == ("data", "sources"):
        return True
    return path[:-1] == ("objective", "terms") and "kind" in source.data["objective"]["terms"][path[-1]]


def place(path: tuple[str | int, ...], data: Any) -> tuple[object, ...]:
    """Name the place of a key: its path, and what decides which keys are known there."""
    section = data.get(path[0], {})
    kinds = [section.get(k) for k in ("preset", "kind") if isinstance(section, dict)]
    forms = [str(sorted(section["policy"])) for _ in (1,) if path[:2] == ("model", "policy")
             and isinstance(section["policy"], dict)]  # fmt: skip
    return (*path, *kinds, *forms)


def edits(word: str, seed: str) -> Iterator[str]:
    """Drop, double, swap or replace one letter at every place; the replacement is drawn from the seed."""
    chance = random.Random(f"{seed}/{word}")
    for i, letter in enumerate(word):
        yield word[:i] + word[i + 1 :]
        yield word[: i + 1] + letter + word[i + 1 :]
        yield word[:i] + chance.choice([x for x in LETTERS if x != letter]) + word[i + 1 :]
        if i + 1 < len(word):
            yield word[:i] + word[i + 1] + letter + word[i + 2 :]


def misspellings(path: Path) -> Iterator[Misspelling]:
    """Misspell each key in each way, one at a time; an edit that gives a sibling or the word itself is left out."""
    text = path.read_text("utf-8")
    lines = text.splitlines(keepends=True)
    for span, at, word, siblings in keys(text, str(path)):
        for written in dict.fromkeys(edits(word, path.name)):
            if not written or written in siblings:
                continue
            row = lines[span.line - 1]
            changed = row[: span.column - 1] + written + row[span.column - 1 + len(word) :]
            whole = "".join([*lines[: span.line - 1], changed, *lines[span.line :]])
            yield Misspelling(whole, (*at, written), word, written, span.line, span.column)

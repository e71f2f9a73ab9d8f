"""What a run reads of the local disk, by content: a stage is up to date only while these are what they were."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["digests"]

CHUNK = 1 << 22
PATHS = (
    ("model", "policy"),
    ("model", "policy", "tokenizer"),
    ("model", "reference", "path"),
    ("data", "source"),
    ("data", "eval", "source"),
    ("data", "chat_template"),
)


def digests(spec: Mapping[str, Any]) -> dict[str, str]:
    """Hash every local file or folder that a resolved spec names. Hub ids stand for themselves."""
    found = {}
    for steps in PATHS:
        value = _at(spec, steps)
        if isinstance(value, str) and value.startswith("/"):
            found[".".join(steps)] = _digest(Path(value))
    return found


def _at(value: Any, steps: tuple[str, ...]) -> Any:
    for step in steps:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    for file in _files(path):
        digest.update(str(file.relative_to(path)).encode() + b"\0")
        with file.open("rb") as stream:
            while block := stream.read(CHUNK):
                digest.update(block)
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    """List the files of a folder in order; a model card tells of a run, and is not what is read."""
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from sorted(p for p in path.rglob("*") if p.is_file() and p.name != "README.md")

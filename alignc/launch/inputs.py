"""The local inputs of a run by content: a stage is up to date only while its inputs are unchanged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from alignc.load.local import local

__all__ = ["digest", "digests"]

CHUNK = 1 << 22
Stat = tuple[str, int, int]


def digests(spec: Mapping[str, Any]) -> dict[str, str]:
    """Hash each local file or folder of a resolved spec; hub ids are not hashed."""
    return {name: digest(Path(path)) for name, path in local(spec).items()}


def digest(path: Path) -> str:
    """Hash the content of a file or a folder."""
    return _digest(str(path), tuple(_stats(path)))


@lru_cache(maxsize=256)
def _digest(name: str, stats: tuple[Stat, ...]) -> str:
    """Hash the content of a file or folder; the result is cached while sizes and times (`stats`) are unchanged."""
    digest, path = hashlib.sha256(), Path(name)
    for file, _, _ in stats:
        digest.update(file.encode() + b"\0")
        with (path / file).open("rb") as stream:
            while block := stream.read(CHUNK):
                digest.update(block)
    return digest.hexdigest()


def _stats(path: Path) -> Iterator[Stat]:
    for file in _files(path):
        stat = file.stat()
        yield str(file.relative_to(path)), stat.st_size, stat.st_mtime_ns


def _files(path: Path) -> Iterator[Path]:
    """List the files of a folder in order, without the model card, which no run reads."""
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from sorted(p for p in path.rglob("*") if p.is_file() and p.name != "README.md")

"""What a run reads of the local disk, by content: a stage is up to date only while these are what they were."""

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
    """Hash every local file or folder that a resolved spec names. Hub ids stand for themselves."""
    return {name: digest(Path(path)) for name, path in local(spec).items()}


def digest(path: Path) -> str:
    """Hash the content of a file or a folder."""
    return _digest(str(path), tuple(_stats(path)))


@lru_cache(maxsize=256)
def _digest(name: str, stats: tuple[Stat, ...]) -> str:
    """Hash a file's or a folder's content, once as long as sizes and times (`stats`) stay the same."""
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
    """List the files of a folder in order; a model card tells of a run, and is not what is read."""
    if path.is_file():
        yield path
    elif path.is_dir():
        yield from sorted(p for p in path.rglob("*") if p.is_file() and p.name != "README.md")

"""Every write that must survive a crash goes through here: write aside, sync, rename."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

__all__ = ["digest", "make_folder", "remove", "rename", "replace_text", "sync", "sync_tree", "write_text"]


def sync(path: Path) -> None:
    """Bring a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Bring every file and folder below a folder, and the folder itself, to the disk."""
    for path in sorted(folder.rglob("*")):
        sync(path)
    sync(folder)


def make_folder(path: Path) -> None:
    """Make a fresh empty folder; files that a killed process left there are removed."""
    remove(path)
    path.mkdir(parents=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file and bring it to the disk."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def rename(source: Path, target: Path) -> None:
    """Move a file or folder to its final name in one step, and bring the new name to the disk."""
    os.rename(source, target)
    sync(target.parent)


def replace_text(path: Path, text: str) -> None:
    """Replace a text file in one step: readers see the old one or the new one, never a part."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    write_text(aside, text)
    rename(aside, path)


def remove(path: Path) -> None:
    """Remove a file or folder where there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def digest(path: Path) -> str:
    """Give the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

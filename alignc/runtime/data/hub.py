"""Read rows through `datasets`: data sets of the hub, single files of the hub, and folders that it saved."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...contract.failure import Failure
from ..base.hub import offline_unless_reachable
from .rows import Row
from .tables import numbered

__all__ = ["FromHub", "hub_content", "read_hub", "read_hub_files", "read_saved"]

_BATCH = 1024


@dataclass(frozen=True)
class FromHub:
    """What is wanted of a data set: its configuration, its revision, some of its files.

    With ``streaming`` the rows come over the network one after another, and the data set is not stored.
    """

    name: str | None = None
    revision: str | None = None
    data_files: str | Sequence[str] | None = None
    streaming: bool = False

    @property
    def patterns(self) -> list[str]:
        """The patterns of `data_files` as a list."""
        files = self.data_files or []
        return [files] if isinstance(files, str) else list(files)


def read_saved(folder: Path, split: str) -> Iterator[Row]:
    """Read a folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote, whatever format it was set to."""
    from datasets import DatasetDict, load_from_disk

    try:
        saved = load_from_disk(str(folder))
    except Exception as error:  # whatever the reader of a foreign folder runs into, the folder is the cause
        raise Failure(
            "E703",
            f"the saved data set cannot be read: {error}",
            why="`save_to_disk` wrote this folder, but a part is missing or damaged",
            help="save the data set again",
            file=str(folder),
        ) from error
    if isinstance(saved, DatasetDict):
        if split not in saved:
            message = f"the data set has no split `{split}`; its splits are {', '.join(saved)}"
            raise Failure("E703", message, file=str(folder), help="set `data.split`")
        saved = saved[split]
    return numbered(_plain(saved), f"{folder.name}[{split}]")


def _plain(rows: Any) -> Iterator[dict[str, Any]]:
    """Yield rows as plain values: in the format "arrow" no tensor is made, no picture decoded, no column hidden."""
    for table in rows.with_format("arrow").iter(batch_size=_BATCH):
        yield from table.to_pylist()


def hub_content(source: str, split: str, hub: FromHub) -> str:
    """Name the content of a data set of the hub: its commit, or what `datasets` has stored. Else a name used once."""
    from huggingface_hub import HfApi

    wanted = f"{source} {split} {hub}"
    if offline_unless_reachable():
        name = "/".join(source.removeprefix("hf://datasets/").split("/")[:2]).partition("@")[0]
        try:
            return f"{wanted} {HfApi().dataset_info(name, revision=hub.revision).sha}"
        except Exception:  # as below; the reader will say what is wrong
            return secrets.token_hex()
    if hub.streaming or source.startswith("hf://"):
        return secrets.token_hex()
    import datasets

    try:
        return (
            f"{wanted} {datasets.load_dataset(source, hub.name, split=split, **_options(hub))._fingerprint}"
        )
    except Exception:
        return secrets.token_hex()


def _options(hub: FromHub) -> dict[str, Any]:
    return {"revision": hub.revision, "data_files": hub.patterns or None, "streaming": hub.streaming}


def read_hub(source: str, split: str, hub: FromHub) -> Iterator[Row]:
    """Read a data set of the hub. E601 where the hub does not give it, E703 where it has no such rows."""
    import datasets

    offline_unless_reachable()
    try:
        rows = datasets.load_dataset(source, hub.name, split=split, **_options(hub))
    except Exception as error:  # the hub's library raises a dozen kinds, its own and its dependencies'
        raise _failure(source, split, error) from error
    return numbered(_plain(rows), f"{source}[{split}]")


def read_hub_files(source: str) -> list[Path]:
    """Fetch `hf://datasets/OWNER/NAME[@REVISION]/FILE` into the hub's cache; a pattern may name several files."""
    from huggingface_hub import HfFileSystem, hf_hub_download

    reachable = offline_unless_reachable()
    try:
        files = (
            HfFileSystem().glob(source) if reachable and any(sign in source for sign in "*?[") else [source]
        )
        if not files:
            raise FileNotFoundError("no file has such a name")
        return [
            Path(hf_hub_download(**_address(str(file)), repo_type="dataset"))
            for file in sorted(map(str, files))
        ]
    except Failure:
        raise
    except Exception as error:  # as above
        raise _failure(source, "", error) from error


def _address(file: str) -> dict[str, Any]:
    """Split the address of a file into the arguments of `hf_hub_download`."""
    kind, _, rest = file.removeprefix("hf://").partition("/")
    owner, _, rest = rest.partition("/")
    name, _, path = rest.partition("/")
    if kind != "datasets" or not path:
        raise Failure(
            "E703",
            f"`{file}` is not the address of a file",
            why="an address of the hub names the kind, the owner, the data set and the file",
            help="write `hf://datasets/OWNER/NAME/FILE`, or the hub id `OWNER/NAME` alone",
        )
    name, _, revision = name.partition("@")
    return {"repo_id": f"{owner}/{name}", "filename": path, "revision": revision or None}


def _failure(name: str, split: str, error: Exception) -> Failure:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        message = f"the data set `{name}` does not have these rows: {reason}"
        return Failure("E703", message, help=f"`data.split` is `{split}`; choose a split of the data set")
    offline = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("HF_DATASETS_OFFLINE")
    return Failure(
        "E601",
        f"the data set `{name}` is not on the disk, and the hub did not provide it: {reason}",
        why="HF_HUB_OFFLINE forbids access to the hub" if offline else None,
        help="check the id and the network (HF_ENDPOINT, HTTPS_PROXY, HF_TOKEN for gated data), "
        "or set `data.source` to a JSONL, CSV or parquet file, or to a folder of such files",
    )

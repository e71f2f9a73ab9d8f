"""The local files and folders of a resolved spec, and its missing models."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from alignc.diagnostics import Diagnostic
from alignc.load.document import Document
from alignc.yaml.source import NodePath

__all__ = ["absent_models", "is_model", "local", "model_folders"]

KEYS = ("policy", "tokenizer", "path", "source", "chat_template", "anchor")
"""The last key of a setting that names a file or folder; `data.columns` uses such keys for other purposes."""
FILES = ("config.json", "adapter_config.json")
WEIGHTS = "the folder has no file `config.json` and no file `adapter_config.json`"


def model_folders(spec: Mapping[str, Any]) -> dict[str, str]:
    """Map the dotted name of each model setting to its local folder."""
    return {name: path for name, path in local(spec).items() if name.endswith(("policy", "path", "anchor"))}


def local(spec: Mapping[str, Any]) -> dict[str, str]:
    """Map the dotted name of each setting to its local file or folder."""
    found = dict(_named({name: spec.get(name) for name in ("model", "data", "objective")}, ""))
    return {name: path for name, path in found.items() if ".columns." not in name}


def _named(value: Any, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str) and value.startswith("/") and at.rpartition(".")[2] in KEYS:
        yield at, value
    pairs = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in pairs:
        yield from _named(inner, f"{at}.{key}" if at else str(key))


def is_model(path: Path) -> bool:
    """Return whether a folder holds a model or an adapter."""
    return any((path / name).is_file() for name in FILES)


def place_of(dotted: str) -> NodePath:
    """Return the path of a setting from its dotted name."""
    return tuple(int(step) if step.isdigit() else step for step in dotted.split("."))


def absent_models(
    spec: Mapping[str, Any], document: Document, coming: Collection[str], code: str
) -> Iterator[Diagnostic]:
    """Report each local folder of a resolved spec that holds no model, with the given code.

    `coming` lists folders that other specs will write before. E609 reports a missing model of `{run: …}`.
    """
    for name, folder in model_folders(spec).items():
        place = place_of(name)
        made = folder in coming or (*place, "run") in document.origins
        if not made and not is_model(Path(folder)):
            why = WEIGHTS if Path(folder).exists() else "nothing exists at this path"
            help_ = "relative paths start at the folder of the spec; write `{run: SPEC}` for the model of another spec"
            yield Diagnostic(code, f"there is no model in `{folder}`", document.span(place), why, help_)

"""The local files and folders that a resolved spec names, and the models among them that are not there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from alignc.diagnostics import Diagnostic
from alignc.load.document import Document
from alignc.yaml.source import NodePath

__all__ = ["absent_models", "is_model", "local", "model_folders"]

KEYS = ("policy", "tokenizer", "path", "source", "chat_template", "anchor")
"""The last step of a setting that names a file or a folder; `data.columns` may hold such keys for other ends."""
FILES = ("config.json", "adapter_config.json")
WEIGHTS = "neither of its files `config.json` and `adapter_config.json` is there"


def model_folders(spec: Mapping[str, Any]) -> dict[str, str]:
    """List the local models that a resolved spec starts from, by dotted name."""
    return {name: path for name, path in local(spec).items() if name.endswith(("policy", "path", "anchor"))}


def local(spec: Mapping[str, Any]) -> dict[str, str]:
    """List the local files and folders that a resolved spec names, by dotted name."""
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
    """Tell whether a folder holds a model, or an adapter."""
    return any((path / name).is_file() for name in FILES)


def place_of(dotted: str) -> NodePath:
    """Find the place of a setting that `model_folders` names."""
    return tuple(int(step) if step.isdigit() else step for step in dotted.split("."))


def absent_models(
    spec: Mapping[str, Any], document: Document, coming: Collection[str], code: str
) -> Iterator[Diagnostic]:
    """Tell of the local folders of a resolved spec that hold no model, by the code given.

    `coming` are folders that other specs will write by then; what stands behind a `{run: …}` is told as E609.
    """
    for name, folder in model_folders(spec).items():
        place = place_of(name)
        made = folder in coming or (*place, "run") in document.origins
        if not made and not is_model(Path(folder)):
            why = WEIGHTS if Path(folder).exists() else "there is nothing at this path"
            help_ = "relative paths start at the spec's folder; what another spec trains is `{run: SPEC}`"
            yield Diagnostic(code, f"no model in `{folder}`", document.span(place), why, help_)

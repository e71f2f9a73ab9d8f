"""Models that a spec starts from and that are not there: local folders, never what the hub or another stage has."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from alignc.diagnostics import Diagnostic
from alignc.launch.inputs import model_folders
from alignc.spec.document import Document
from alignc.spec.document import Path as Place

__all__ = ["absent_models", "is_model", "place_of"]

FILES = ("config.json", "adapter_config.json")
WEIGHTS = "neither of its files `config.json` and `adapter_config.json` is there"


def is_model(path: Path) -> bool:
    """Tell whether a folder holds a model, or an adapter."""
    return any((path / name).is_file() for name in FILES)


def place_of(dotted: str) -> Place:
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

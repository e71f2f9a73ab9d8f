"""Paths in a spec: conversion to absolute paths, distinction from hub ids, and missing files."""

from __future__ import annotations

import os
from glob import glob, has_magic
from pathlib import Path as FilePath
from typing import Any

from alignc.contract.rewards import REWARDS
from alignc.diagnostics import Diagnostic, DiagnosticError, Span
from alignc.load.disk import exists, real
from alignc.load.document import Document
from alignc.load.pipeline import is_spec
from alignc.spec.job import Job
from alignc.spec.rewards import sources
from alignc.yaml.source import NodePath

__all__ = ["DATA_SUFFIXES", "absolute", "looks_local", "missing_files"]

DATA_SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet", ".csv", ".tsv", ".arrow", ".gz")
SOURCES: tuple[NodePath, ...] = (("source",), ("eval", "source"))
"""The paths of sources within a section of rows."""
MODELS: tuple[NodePath, ...] = (
    ("model", "policy"),
    ("model", "reference", "path"),
    ("model", "critic", "path"),
)
FILES: tuple[NodePath, ...] = (("model", "policy", "tokenizer"),)


def looks_local(name: str, folder: FilePath) -> bool:
    """Return whether a name is a local path and not a hub id.

    `x/y` is a hub id if it has no data suffix and is not on the disk; `x/y/z` is never a hub id. `hf://` is no path.
    """
    if name.startswith("hf://"):
        return False
    if has_magic(name):
        return True
    if name.startswith((".", "/", "~")) or name.endswith(DATA_SUFFIXES) or name.strip("/").count("/") > 1:
        return True
    return exists(folder / name)


def absolute(job: Job, document: Document, before: tuple[FilePath, ...]) -> Job:
    """Make each path of a job absolute, and replace `{run: SPEC}` by the model folder of that spec.

    `before` lists the chain of specs whose `{run: …}` led here, with this spec; a repetition is E001.
    """
    data = job.model_dump()
    models = _models(data)
    rows, files = _rows(data)
    for path in (*rows, *models):
        _replace(
            data, path, lambda name, base: _full(name, base) if looks_local(name, base) else name, document
        )
    for path in files:
        _replace(data, path, lambda name, base: name if name == "bytes" else _full(name, base), document)
    for path in models:
        _replace_run(data, path, document, before)
    data["output_dir"] = os.path.abspath(os.path.expanduser(data["output_dir"]))
    return Job.model_validate(data)


def _rows(data: dict[str, Any]) -> tuple[list[NodePath], list[NodePath]]:
    """List the paths of sources and of files, in the section of rows or in each of several sources."""
    several = data["data"].get("sources", {})
    sections: list[NodePath] = [("data", "sources", name) for name in several] or [("data",)]
    rows = [(*section, *path) for section in sections for path in SOURCES]
    return rows, [*FILES, *((*section, "chat_template") for section in sections)]


def _models(data: dict[str, Any]) -> tuple[NodePath, ...]:
    """List the paths of models: in the section `model`, reward models, and anchors."""
    terms = enumerate(data["objective"]["terms"])
    anchors = [("objective", "terms", i, *at) for i, _ in terms for at in (("anchor",), ("score", "anchor"))]
    anchors = [path for path in anchors if _is_other(_at(data, path))]
    judges = [
        (*path, field)
        for path, source in sources(data)
        if (field := REWARDS[source["kind"]].model) is not None
    ]
    return (*MODELS, *judges, *anchors)


def _is_other(anchor: Any) -> bool:
    """Return whether an anchor is a folder, a hub id or another spec, and not a name such as `initial`."""
    return isinstance(anchor, dict) or (isinstance(anchor, str) and "/" in anchor)


def _full(name: str, base: FilePath) -> str:
    return os.path.abspath(base / os.path.expanduser(name))


def _base(document: Document, path: NodePath) -> FilePath:
    """Return the folder at which a relative path starts: the folder of its file."""
    span = document.span(path)
    return FilePath.cwd() if span.file == "--set" else FilePath(span.file).parent


def _replace(data: Any, path: NodePath, change: Any, document: Document) -> None:
    parent = _at(data, path[:-1])
    if isinstance(parent, dict) and isinstance(parent.get(path[-1]), str):
        parent[path[-1]] = change(parent[path[-1]], _base(document, path))


def _at(data: Any, path: NodePath) -> Any:
    for step in path:
        listed = isinstance(data, list) and isinstance(step, int)
        data = data[step] if listed else data.get(step) if isinstance(data, dict) else None
    return data


def _replace_run(data: Any, path: NodePath, document: Document, before: tuple[FilePath, ...]) -> None:
    parent = _at(data, path[:-1])
    value = parent.get(path[-1]) if isinstance(parent, dict) else None
    if isinstance(value, dict) and "run" in value:
        spec = _base(document, (*path, "run")) / value["run"]
        if real(spec) in before:
            message = f"`run: {value['run']}` leads back to this spec"
            raise DiagnosticError(Diagnostic("E001", message, document.span((*path, "run"))))
        parent[path[-1]] = os.path.join(_output_dir(spec, before), "model") if is_spec(spec) else value


def _output_dir(spec: FilePath, before: tuple[FilePath, ...]) -> str:
    from alignc.load.load import load

    return load(spec, before=before).job.output_dir


def missing_files(job: Job, document: Document) -> list[Diagnostic]:
    """List the missing local files of a spec (E008).

    A model that another spec will train does not count as a file of this spec.
    """
    found, data = [], job.model_dump()
    for path in (path for paths in _rows(data) for path in paths):
        name = _at(data, path)
        if isinstance(name, str) and name.startswith("/") and not exists(name) and not glob(name):
            found.append(_missing(name, document.span(path)))
    for path in _models(data):
        value = _at(data, path)
        if isinstance(value, dict) and "run" in value:
            found.append(_missing(value["run"], document.span((*path, "run"))))
    return found


def _missing(name: str, span: Span) -> Diagnostic:
    return Diagnostic(
        "E008", f"there is no file `{name}`", span, help="relative paths start at the folder of the spec"
    )

"""A pipeline: one file that names or contains the specs of several stages.

`FILE#NAME` is the stage NAME of the pipeline FILE, in each place that accepts a spec.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

from alignc.diagnostics import Diagnostic, DiagnosticError, Span, did_you_mean
from alignc.load.disk import is_file
from alignc.load.document import Document, Origin, of_source
from alignc.yaml.source import NodePath, Source, load_source

__all__ = ["Stage", "address", "is_spec", "linked", "producers", "stage_document", "stages"]

KEYS = ("version", "name", "stages")
MARK = "#"


@dataclass(frozen=True)
class Stage:
    """A stage of a pipeline: its name, its argument for `load`, its span and its index."""

    name: str
    spec: str
    span: Span
    index: int
    inline: bool


def stages(path: str | FilePath) -> tuple[Stage, ...] | None:
    """Read the stages of a pipeline in their order; return None if the file is not a pipeline or is not readable.

    Raises DiagnosticError with all errors of the list itself. The errors of a stage are reported when it is loaded.
    """
    source = _source(path)
    return None if source is None else _stages(source, str(path))


def _source(path: str | FilePath) -> Source | None:
    """Read a file if it is a pipeline, else return None; `load` reports a file that is not YAML."""
    if not is_file(path):
        return None
    try:
        source = load_source(path)
    except DiagnosticError:
        return None
    return source if "stages" in source.data and "objective" not in source.data else None


def _stages(source: Source, path: str) -> tuple[Stage, ...]:
    found = [*_unknown(source), *_wrong_version(source)]
    entries = source.data["stages"]
    if not isinstance(entries, list) or not entries:
        message = "`stages` must be a list; each item is the path of a spec or a spec"
        raise DiagnosticError([*found, Diagnostic("E003", message, source.value_span(("stages",)))])
    listed: list[Stage] = []
    for index, entry in enumerate(entries):
        try:
            listed.append(_stage(entry, index, source, path))
        except DiagnosticError as error:
            found += error.diagnostics
    found += _twice(listed)
    if found:
        raise DiagnosticError(found)
    return tuple(listed)


def _unknown(source: Source) -> Iterator[Diagnostic]:
    for key in source.data:
        if key not in KEYS:
            guess = did_you_mean(key, KEYS)
            hint = f"did you mean `{guess}`?" if guess else f"the fields of a pipeline are: {', '.join(KEYS)}"
            yield Diagnostic("E002", f"unknown field `{key}`", source.key_span((key,)), help=hint)


def _wrong_version(source: Source) -> Iterator[Diagnostic]:
    version = source.data.get("version", 1)
    if version != 1 or isinstance(version, bool):
        message = f"`version` has no choice `{version}`"
        yield Diagnostic("E003", message, source.value_span(("version",)), help="choose one of: 1")


def _stage(entry: Any, index: int, source: Source, path: str) -> Stage:
    at: NodePath = ("stages", index)
    span = source.value_span(at)
    if isinstance(entry, str):
        return _listed(entry, index, span, FilePath(path).parent)
    if not isinstance(entry, dict):
        raise DiagnosticError(Diagnostic("E003", "a stage must be the path of a spec, or a spec", span))
    name = entry.get("name")
    if name is None:
        guess = did_you_mean("name", map(str, entry))
        if guess:
            key = source.key_span((*at, guess))
            raise DiagnosticError(
                Diagnostic("E002", f"unknown field `{guess}`", key, help="did you mean `name`?")
            )
        why = "other stages use the model of a stage by its name"
        raise DiagnosticError(Diagnostic("E006", "missing field `name` of a stage", span, why))
    if not isinstance(name, str) or not name:
        raise DiagnosticError(Diagnostic("E003", "`name` must be a text", source.value_span((*at, "name"))))
    return Stage(name, f"{path}{MARK}{name}", span, index, inline=True)


def _listed(entry: str, index: int, span: Span, folder: FilePath) -> Stage:
    target = folder / os.path.expanduser(entry)
    if not is_file(target):
        raise DiagnosticError(
            Diagnostic(
                "E008", f"there is no file `{entry}`", span, help="paths start at the folder of the pipeline"
            )
        )
    if _source(target) is not None:
        message = f"`{entry}` is a pipeline and not a spec"
        raise DiagnosticError(Diagnostic("E003", message, span, help="list its stages here"))
    return Stage(target.stem, str(target), span, index, inline=False)


def _twice(listed: list[Stage]) -> Iterator[Diagnostic]:
    seen: dict[str, Stage] = {}
    for stage in listed:
        first = seen.setdefault(stage.name, stage)
        if first is not stage:
            message = f"two stages have the name `{stage.name}`"
            yield Diagnostic("E005", message, stage.span, help=f"the first is on line {first.span.line}")


def address(path: str | FilePath) -> tuple[FilePath, Stage] | None:
    """Return the pipeline and the stage of an address `FILE#NAME`, or None for another path."""
    file, mark, name = str(path).rpartition(MARK)
    if not mark or is_file(path):
        return None
    found = [stage for stage in stages(file) or () if stage.name == name]
    return (FilePath(file), found[0]) if found else None


def is_spec(path: str | FilePath) -> bool:
    """Return whether a path is a spec: a file, or a stage of a pipeline."""
    try:
        return is_file(path) or address(path) is not None
    except DiagnosticError:
        return False


def stage_document(file: FilePath, stage: Stage) -> Document:
    """Return the document of a stage of a pipeline; each value keeps its span in the file."""
    whole = of_source(load_source(file))
    at: NodePath = ("stages", stage.index)
    origins = {p[2:]: replace(o, at=p[2:]) for p, o in whole.origins.items() if p[:2] == at}
    value = stage.span
    start = Span(value.file, value.line, value.column, value.line, value.column + 1)
    origins[()] = Origin(f"{value.file}:{value.line}:{value.column}", start, value)
    return Document(dict(whole.data["stages"][stage.index]), origins, str(file), whole.texts)


def linked(document: Document, file: FilePath) -> dict[str, Any]:
    """Replace the name of a stage by its address in each `{run: NAME}` of the data.

    Raises DiagnosticError (E008) for a name that is not a stage and not a spec file.
    """
    known = {stage.name: os.path.abspath(stage.spec) for stage in stages(file) or ()}

    def named(value: str, path: NodePath) -> str:
        span = document.span(path)
        folder = FilePath.cwd() if span.file == "--set" else FilePath(span.file).parent
        if value in known or is_spec(folder / value):
            return known.get(value, value)
        guess = did_you_mean(value, known)
        hint = f"did you mean `{guess}`?" if guess else f"the stages are: {', '.join(known)}"
        raise DiagnosticError(Diagnostic("E008", f"there is no stage and no spec `{value}`", span, help=hint))

    data: dict[str, Any] = _mapped(document.data, (), named)
    return data


def _mapped(value: Any, path: NodePath, change: Callable[[str, NodePath], str]) -> Any:
    if isinstance(value, dict):
        if _is_run(value):
            return {"run": change(value["run"], (*path, "run"))}
        return {key: _mapped(inner, (*path, key), change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_mapped(inner, (*path, index), change) for index, inner in enumerate(value)]
    return value


def _is_run(value: Mapping[str, Any]) -> bool:
    return value.keys() == {"run"} and isinstance(value["run"], str)


def producers(document: Document) -> dict[NodePath, str]:
    """Map the path of each `{run: SPEC}` to the spec whose model is used."""
    found: dict[NodePath, str] = {}

    def note(value: str, path: NodePath) -> str:
        span = document.span(path)
        folder = FilePath.cwd() if span.file == "--set" else FilePath(span.file).parent
        found[path[:-1]] = os.path.relpath(os.path.abspath(folder / value))
        return value

    _mapped(document.data, (), note)
    return found

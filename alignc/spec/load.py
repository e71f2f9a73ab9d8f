"""Read a spec: file, what it extends, overrides, presets, types, paths. The one entry to this package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from alignc.diagnostics import Diagnostic, DiagnosticError, Span
from alignc.spec.check import diagnose
from alignc.spec.document import Document, Origin, Path, merge, of_source
from alignc.spec.expand import Bound, Expanded, expand
from alignc.spec.job import Job
from alignc.spec.paths import absolute
from alignc.spec.preset import Preset
from alignc.spec.source import load_source, parse_source

__all__ = ["Loaded", "load"]

MAX_EXTENDS = 16


@dataclass(frozen=True)
class Loaded:
    """A spec that has been read: typed, with origins, and with what its preset was."""

    job: Job
    document: Document
    preset: Preset | None
    parameters: dict[str, Bound]

    @property
    def file(self) -> str:
        """The file it was read from, as given."""
        return self.document.file

    def origin(self, path: Path) -> str:
        """Say where a value comes from: `spec.yaml:6:24`, `preset:dpo`, `--set` or `default`."""
        found = self.document.origins.get(path)
        return found.label if found else "default"


def load(path: str | FilePath, overrides: Sequence[str] = ()) -> Loaded:
    """Read a spec file. Raises DiagnosticError with every error that its text alone reveals.

    `overrides` are `a.b=c`, parsed and checked like the file. Relative paths start at the spec's folder,
    `output_dir` at the working directory.
    """
    document = _read(FilePath(path), ())
    for override in overrides:
        document = merge(document, _override(override, document))
    document = replace(document, file=str(path))
    return _typed(_with_name(document))


def _read(path: FilePath, seen: tuple[FilePath, ...]) -> Document:
    document = of_source(load_source(path))
    base = document.data.get("extends")
    if base is None:
        return document
    span = document.span(("extends",))
    if not isinstance(base, str):
        raise DiagnosticError(
            [Diagnostic("E003", "`extends` must be a text: a file, or `preset:NAME`", span)]
        )
    del document.data["extends"]
    return merge(_base(base, path, (*seen, path.resolve()), span), document)


def _base(name: str, path: FilePath, seen: tuple[FilePath, ...], span: Span) -> Document:
    if name.startswith("preset:"):
        origins: dict[Path, Origin] = {
            p: Origin(span.file, span, span) for p in ((), ("objective",), ("objective", "preset"))
        }
        return Document({"objective": {"preset": name.removeprefix("preset:")}}, origins, span.file)
    target = path.parent / name
    if target.resolve() in seen or len(seen) > MAX_EXTENDS:
        raise DiagnosticError([Diagnostic("E001", f"`extends: {name}` comes back to this file", span)])
    if not target.is_file():
        raise DiagnosticError(
            [Diagnostic("E008", f"no file `{name}`", span, help="paths start at the spec's folder")]
        )
    return _read(target, seen)


def _override(text: str, document: Document) -> Document:
    key, equals, value = text.partition("=")
    steps = [s for s in key.strip().split(".") if s]
    span = Span("--set", 1, 1, 1, max(2, len(key) + 1))
    if not equals or not steps:
        message = f"`--set {text}` is not of the form a.b=c"
        raise DiagnosticError(
            [Diagnostic("E001", message, span, help="write --set train.learning_rate=1e-6")]
        )
    parsed = parse_source(f"value: {value}", "--set").data["value"]
    path = _real_path(steps, document)
    data: Any = _patched_list(path, parsed, document)
    origins: dict[Path, Origin] = {path[:n]: Origin("--set", span, span) for n in range(len(path) + 1)}
    return Document(data, origins | _inside(parsed, path, span), "--set", {"--set": text})


def _real_path(steps: Sequence[str], document: Document) -> Path:
    path: Path = ()
    for step in steps:
        inside = document.get(path)
        path = (*path, int(step) if isinstance(inside, list) and step.isdecimal() else step)
    return path


def _patched_list(path: Path, value: Any, document: Document) -> Any:
    """Wrap a value in the mappings of its path; a list on the way is copied with one element changed."""
    for end in range(len(path) - 1, -1, -1):
        step = path[end]
        if not isinstance(step, int):
            value = {step: value}
            continue
        copy = list(document.get(path[:end]))
        old = copy[step] if step < len(copy) else None
        value = {**old, **value} if isinstance(old, dict) and isinstance(value, dict) else value
        copy[step : step + 1] = [value]
        value = copy
    return value


def _inside(value: Any, path: Path, span: Span) -> dict[Path, Origin]:
    if isinstance(value, dict):
        inner = {p: o for k, v in value.items() for p, o in _inside(v, (*path, k), span).items()}
    elif isinstance(value, list):
        inner = {p: o for k, v in enumerate(value) for p, o in _inside(v, (*path, k), span).items()}
    else:
        inner = {}
    return {path: Origin("--set", span, span), **inner}


def _with_name(document: Document) -> Document:
    name = document.data.get("name") or FilePath(document.file).stem
    defaults = {"name": name, "output_dir": f"runs/{name}"}
    return replace(document, data={**defaults, **document.data})


def _typed(document: Document) -> Loaded:
    try:
        expanded, found = expand(document), []
    except DiagnosticError as error:
        expanded, found = Expanded(document, None, {}), list(error.diagnostics)
    document = expanded.document
    try:
        job = Job.model_validate(document.data)
    except ValidationError as error:
        others = diagnose(error, document, Job)
        mine = {id(d) for d in others if _in_objective(d, error, document)} if found else set()
        raise DiagnosticError(_ordered([*found, *(d for d in others if id(d) not in mine)])) from None
    if found:
        raise DiagnosticError(found)
    return Loaded(absolute(job, document), document, expanded.preset, expanded.parameters)


def _in_objective(diagnostic: Diagnostic, error: ValidationError, document: Document) -> bool:
    origin = document.origins.get(("objective",))
    if origin is None or origin.key is None:
        return "objective" in diagnostic.message
    start, end = origin.key, origin.value or origin.key
    at = diagnostic.span
    return (start.line, start.column) <= (at.line, at.column) < (end.end_line, end.end_column)


def _ordered(diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    return sorted(diagnostics, key=lambda d: (d.span.file, d.span.line, d.span.column))

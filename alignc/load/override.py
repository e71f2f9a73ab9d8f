"""Overrides of the command line: `--set a.b=c` becomes a document, parsed like a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from alignc.diagnostics import Diagnostic, DiagnosticError, Span
from alignc.load.document import Document, Origin, laid_over
from alignc.yaml.source import NodePath, parse_source

__all__ = ["override"]

FILE = "--set"
HEAD = "value: "


def override(text: str, line: int, document: Document) -> Document:
    """Read one override `a.b=c` as a document to merge over `document`; steps into lists are indexes.

    Its spans are on `line` of the file `--set`. Raises DiagnosticError (E001, E004, E005).
    """
    key, equals, value = text.partition("=")
    steps = key.strip().split(".")
    origin = Origin(FILE, _span(line, 1, len(key) + 1), _span(line, len(key) + 2, len(text) + 1))
    if not equals or not all(steps) or "\n" in text:
        message, help_ = (
            f"`--set {text}` does not have the form a.b=c",
            "write --set train.learning_rate=1e-6",
        )
        why = "an override is a path of names with dots, then `=`, then a value as in the file"
        raise DiagnosticError(Diagnostic("E001", message, _span(line, 1, len(text) + 1), why, help_))
    parsed = _parsed(value, line, len(key) + 1)
    path = _real_path(steps, document)
    around = {path[:n]: document.origins.get(path[:n], origin) for n in range(len(path))}
    origins = _beside(path, document) | around
    inside = {p: replace(origin, at=p) for p in _paths(parsed, path)}
    return Document(_wrapped(path, parsed, document), origins | inside, FILE)


def _beside(path: NodePath, document: Document) -> dict[NodePath, Origin]:
    """Collect the origins of the unchanged values of a list on the path; the list is replaced as a whole."""
    lists = [n for n, step in enumerate(path) if isinstance(step, int)]
    if not lists:
        return {}
    start = path[: lists[0]]
    return {p: o for p, o in document.origins.items() if p[: len(start)] == start and p[: len(path)] != path}


def _span(line: int, start: int, end: int) -> Span:
    return Span(FILE, line, start, line, max(end, start + 1))


def _parsed(value: str, line: int, before: int) -> Any:
    try:
        return parse_source(HEAD + value, FILE).data["value"]
    except DiagnosticError as error:
        raise DiagnosticError(_moved(d, line, before - len(HEAD)) for d in error.diagnostics) from None


def _moved(diagnostic: Diagnostic, line: int, shift: int) -> Diagnostic:
    at = diagnostic.span
    return replace(diagnostic, span=_span(line, max(1, at.column + shift), at.end_column + shift))


def _real_path(steps: Sequence[str], document: Document) -> NodePath:
    path: NodePath = ()
    for step in steps:
        inside = document.get(path)
        path = (*path, int(step) if isinstance(inside, list) and step.isdecimal() else step)
    return path


def _wrapped(path: NodePath, value: Any, document: Document) -> Any:
    """Wrap a value in the mappings of its path; a list on the path is copied with one changed element."""
    for end in range(len(path) - 1, -1, -1):
        step = path[end]
        if not isinstance(step, int):
            value = {step: value}
            continue
        copy = list(document.get(path[:end]))
        old = copy[step] if step < len(copy) else None
        if end == len(path) - 1:
            value = laid_over(old, value)
        elif isinstance(old, dict) and isinstance(value, dict):
            value = {**old, **value}
        copy[step : step + 1] = [value]
        value = copy
    return value


def _paths(value: Any, path: NodePath) -> list[NodePath]:
    """List the paths of a value and of all values inside it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for step, inner in items for p in _paths(inner, (*path, step)))]

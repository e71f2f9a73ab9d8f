"""A preset as one term among others: it is expanded as an objective of its own, and its terms are inserted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from alignc.diagnostics import Diagnostic, DiagnosticError, did_you_mean
from alignc.load.check import shown, unknown_field
from alignc.load.document import Document, Origin
from alignc.yaml.source import NodePath

__all__ = ["OWN", "Place", "as_objective", "is_preset", "listed", "numbered", "outside_terms", "place_of"]

OBJECTIVE: NodePath = ("objective",)
OWN = ("name", "weight", "data")
"""The fields of such a term in addition to the parameters of its preset."""


@dataclass(frozen=True)
class Place:
    """The values that the terms of a preset take from the term that names the preset."""

    name: Any
    weight: float | int | None
    data: Any
    origins: Mapping[str, Origin]


def is_preset(term: Any, document: Document, path: NodePath) -> bool:
    """Return whether a term names a preset. Raises DiagnosticError (E002) if `preset` is misspelt."""
    if not isinstance(term, dict) or "kind" in term:
        return False
    keys = [str(key) for key in term]
    if "preset" not in term and not did_you_mean("kind", keys) and (guess := did_you_mean("preset", keys)):
        raise DiagnosticError(unknown_field((*path, guess), ["preset", "kind"], document)[0])
    return "preset" in term


def as_objective(document: Document, term: Mapping[str, Any], path: NodePath) -> Document:
    """Make a document whose objective is the preset of a term; each value keeps its origin."""
    top = document.origin(path) or Origin(document.file)
    origins: dict[NodePath, Origin] = {(): top, OBJECTIVE: top}
    for old, origin in document.origins.items():
        inner = old[len(path) :]
        if old[: len(path)] == path and not (inner and inner[0] in OWN):
            origins[(*OBJECTIVE, *inner)] = origin
    given = {key: value for key, value in term.items() if key not in OWN}
    return Document({"objective": given}, origins, document.file, document.texts)


def place_of(document: Document, term: Mapping[str, Any], path: NodePath, taken: Collection[str]) -> Place:
    """Read the name, weight and source of a term that names a preset. Raises DiagnosticError (E003).

    `taken` lists the parameters of the preset, which must not have these names.
    """
    for key in OWN:
        if key in taken:
            message = (
                f"a preset with a parameter `{key}` cannot be a term, because each term has a field `{key}`"
            )
            raise DiagnosticError(Diagnostic("E003", message, document.span((*path, "preset"))))
    weight = term.get("weight")
    if isinstance(weight, bool) or not isinstance(weight, int | float | None):
        message = f"`weight` must be a number, found {shown(weight)}"
        raise DiagnosticError(Diagnostic("E003", message, document.span((*path, "weight"))))
    origins = {key: o for key in OWN if (o := document.origins.get((*path, key)))}
    return Place(term.get("name"), weight, term.get("data"), origins)


def numbered(name: str, taken: Collection[str]) -> str:
    """Return a free name by numbering: `pref`, `pref_2`, …"""
    count = 1
    while (shown := name if count == 1 else f"{name}_{count}") in taken:
        count += 1
    return shown


def listed(document: Document) -> Document:
    """Turn the terms of a spec without a preset from a mapping by name into a list."""
    terms = document.data["objective"]["terms"]
    if not isinstance(terms, dict):
        return document
    origins = outside_terms(document)
    for index, name in enumerate(terms):
        source = (*OBJECTIVE, "terms", name)
        for old, origin in document.origins.items():
            if old[:3] == source:
                origins[(*OBJECTIVE, "terms", index, *old[3:])] = origin
    listed = [{"name": n, **t} if isinstance(t, dict) else t for n, t in terms.items()]
    data = {**document.data, "objective": {**document.data["objective"], "terms": listed}}
    return replace(document, data=data, origins=origins)


def outside_terms(document: Document) -> dict[NodePath, Origin]:
    """Collect the origins of all values outside the terms."""
    inside = (*OBJECTIVE, "terms")
    return {p: o for p, o in document.origins.items() if p[:2] != inside or p == inside}

"""Several sources of rows: the division of a spec into one part for each source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from alignc.contract.kinds import ONLINE
from alignc.diagnostics import Diagnostic, DiagnosticError, did_you_mean
from alignc.load.document import Document, Origin
from alignc.load.load import Loaded
from alignc.load.preset import Preset
from alignc.spec.objective import Term
from alignc.spec.rows import Sources
from alignc.yaml.source import NodePath

__all__ = ["check_sources", "parts"]

TERMS: NodePath = ("objective", "terms")
SOURCES: NodePath = ("data", "sources")


def parts(spec: Loaded) -> dict[str, Loaded]:
    """Divide a spec into parts by the names of its sources; a spec with a single source has no parts.

    The `data` of a part is its source, and its terms are the terms that name the source. Raises DiagnosticError: E002
    if a term names an unknown source, E006 if a term names no source, E112 if no term names a source, E115 if the
    policy samples the responses of several sources.
    """
    check_sources(spec)
    data = spec.job.data
    return {name: _part(spec, name) for name in data.sources} if isinstance(data, Sources) else {}


def check_sources(spec: Loaded) -> None:
    """Raise DiagnosticError if the terms and the sources do not match."""
    data, terms = spec.job.data, spec.job.objective.terms
    names = list(data.sources) if isinstance(data, Sources) else []
    found = [*_lost(terms, names, spec.document)] or [*_unused(terms, names, spec.document)]
    if isinstance(data, Sources):
        found += _sampled_twice(data, spec.document)
    if found:
        raise DiagnosticError(found)


def _lost(terms: Sequence[Term], names: Sequence[str], document: Document) -> Iterator[Diagnostic]:
    for index, term in enumerate(terms):
        span = document.span((*TERMS, index, "data"))
        if term.data is None and names:
            message = f"`{term.name}` names no source of rows"
            yield Diagnostic(
                "E006", message, span, help=f"add `data: {names[0]}`; the sources are: {', '.join(names)}"
            )
        elif term.data is not None and term.data not in names:
            guess = did_you_mean(term.data, names)
            known = f"did you mean `{guess}`?" if guess else f"the sources are: {', '.join(names)}"
            alone = "add the source to `data: {sources: {…}}`, or delete `data` from the term"
            message = f"`{term.name}` takes its rows from `{term.data}`, but there is no such source"
            yield Diagnostic("E002", message, span, help=known if names else alone)


def _unused(terms: Sequence[Term], names: Sequence[str], document: Document) -> Iterator[Diagnostic]:
    taken = {term.data for term in terms}
    for name in names:
        if name not in taken:
            span = document.span((*SOURCES, name), of_key=True)
            yield Diagnostic("E112", f"no term takes its rows from `{name}`", span)


def _sampled_twice(data: Sources, document: Document) -> Iterator[Diagnostic]:
    """E115: the policy samples the responses of two sources, and a step follows the rollouts of one."""
    sampled = [name for name, rows in data.sources.items() if rows.kind in ONLINE]
    for name in sampled[1:]:
        both = f"`{sampled[0]}` and `{name}`"
        message = f"the policy samples the responses of {both}, but a job has rollouts of one source"
        yield Diagnostic("E115", message, document.span((*SOURCES, name, "kind")))


def _part(spec: Loaded, name: str) -> Loaded:
    """Make the part of one source: its rows, its terms, and the origins of both."""
    data, objective = spec.job.data, spec.job.objective
    assert isinstance(data, Sources)
    places = tuple(i for i, term in enumerate(objective.terms) if term.data == name)
    mine = objective.model_copy(update={"terms": [objective.terms[i] for i in places]})
    job = spec.job.model_copy(update={"data": data.sources[name], "objective": mine})
    nested = {new: spec.nested[old] for new, old in enumerate(places) if old in spec.nested}
    document = _document(spec.document, name, places)
    own = spec.preset is None or _gives_any(spec.preset, mine.terms)
    preset, parameters = (spec.preset, spec.parameters) if own else (None, {})
    return replace(
        spec,
        job=job,
        document=document,
        preset=preset,
        parameters=parameters,
        nested=nested,
        whole=spec,
        places=places,
    )


def _gives_any(preset: Preset, terms: Sequence[Term]) -> bool:
    """Tell whether a preset gives any of the terms; a term that it gives may be a preset, and then has no name yet."""
    named = {term.get("name") for term in preset.terms}
    return None in named or any(term.name in named for term in terms)


def _document(document: Document, name: str, places: Sequence[int]) -> Document:
    """Move the origins of a source and its terms to the paths of a spec with one source."""
    moves: dict[NodePath, NodePath] = {(*TERMS, old): (*TERMS, new) for new, old in enumerate(places)}
    moves[(*SOURCES, name)] = ("data",)
    fixed = {p: o for p, o in document.origins.items() if p[:2] != TERMS or p == TERMS}
    origins: dict[NodePath, Origin] = {p: o for p, o in fixed.items() if p[:1] != ("data",)}
    origins |= {new: o for p, o in document.origins.items() if (new := _moved(p, moves)) is not None}
    bindings = {new: t for p, t in document.bindings.items() if (new := _moved(p, moves)) is not None}
    return replace(document, data=_own_data(document.data, name, places), origins=origins, bindings=bindings)


def _own_data(data: dict[str, Any], name: str, places: Sequence[int]) -> dict[str, Any]:
    """Give the plain data of a spec that has one source and its terms alone."""
    terms = data["objective"]["terms"]
    own = {**data["objective"], "terms": [terms[place] for place in places]}
    return {**data, "objective": own, "data": data["data"]["sources"][name]}


def _moved(path: NodePath, moves: dict[NodePath, NodePath]) -> NodePath | None:
    head = moves.get(path[:3])
    return None if head is None else (*head, *path[3:])

"""Read a spec: its file, the files it extends, overrides, presets, types and paths. This is the entry point."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

from pydantic import ValidationError

from alignc.diagnostics import Diagnostic, DiagnosticError, Span, did_you_mean
from alignc.load.adapter import adopted
from alignc.load.check import diagnose, unknown_field
from alignc.load.disk import is_file, real
from alignc.load.document import Document, Origin, leaves, merge, of_source
from alignc.load.expand import Bound, Expanded, Nested, expand
from alignc.load.override import override
from alignc.load.paths import absolute
from alignc.load.pipeline import address, linked, stage_document
from alignc.load.preset import Preset, preset_names
from alignc.lower.lookup import Lookup, PresetPart, PresetValue
from alignc.spec.anchors import anchored
from alignc.spec.fields import field_names
from alignc.spec.job import Job
from alignc.yaml.source import NodePath, load_source

__all__ = ["Loaded", "load"]

MAX_EXTENDS = 16
LONGEST_TEXT = 1000


@dataclass(frozen=True)
class Loaded:
    """A loaded spec: the typed job, the document with its origins, and the preset."""

    job: Job
    document: Document
    preset: Preset | None
    parameters: dict[str, Bound]
    nested: Mapping[int, Nested] = field(default_factory=dict)
    """The nested presets by the index of their terms."""
    whole: Loaded | None = None
    """The whole spec, if this is the part of one source."""
    places: tuple[int, ...] = ()
    """The indexes of the terms of a part in the whole spec."""

    def bound_at(self, path: NodePath) -> Nested | None:
        """Find the preset, with its parameters, that a path in the terms comes from."""
        if path[:2] == ("objective", "terms") and len(path) > 2 and path[2] in self.nested:
            return self.nested[int(path[2])]
        return Nested(self.preset, self.parameters, "") if self.preset else None

    def written(self, path: NodePath) -> NodePath:
        """Return the path in the whole spec for a path in this part."""
        if self.whole is None or path[:2] != ("objective", "terms") or len(path) < 3:
            return path
        return (*path[:2], self.places[int(path[2])], *path[3:])

    def parameter_at(self, path: NodePath) -> Bound | None:
        """Find the parameter of a preset: `objective.NAME`, or `objective.LABEL.NAME` for a nested preset."""
        match path:
            case ("objective", str(name)):
                return self.parameters.get(name)
            case ("objective", str(label), str(name)):
                sources = (n for n in self.nested.values() if n.label == label and name in n.parameters)
                return next((n.parameters[name] for n in sources), None)
        return None

    @property
    def lookup(self) -> Lookup:
        """What lowering asks of the spec: its job, and the origins of its values."""
        document = self.document
        return Lookup(
            job=self.job,
            whole=(self.whole or self).job,
            span=document.span,
            origins={path: origin.span for path, origin in document.origins.items()},
            bindings=document.bindings,
            texts=document.texts,
            preset=_part_of(self.preset, self.parameters, "") if self.preset else None,
            nested={i: _part_of(n.preset, n.parameters, n.label) for i, n in self.nested.items()},
            places=self.places if self.whole is not None else None,
        )

    @property
    def file(self) -> str:
        """The file of the spec, as given."""
        return self.document.file

    def origin(self, path: NodePath) -> str:
        """Return the origin of a value: `spec.yaml:6:24`, `preset:dpo`, `--set` or `default`."""
        found = self.document.origins.get(path)
        return found.label if found else "default"


def _part_of(preset: Preset, parameters: dict[str, Bound], label: str) -> PresetPart:
    values = {
        name: PresetValue(
            bound.value, bound.parameter.symbol or "", bound.unit(parameters), bound.parameter.type == "axis"
        )
        for name, bound in parameters.items()
    }
    return PresetPart(label, preset.preset in preset_names(), values)


def load(path: str | FilePath, overrides: Sequence[str] = (), *, before: tuple[FilePath, ...] = ()) -> Loaded:
    """Read a spec file. Raises DiagnosticError with all errors that the text alone shows.

    `overrides` have the form `a.b=c`, and are parsed and checked like the file. The n-th override is line n of the
    file `--set`. Relative paths start at the folder of the spec; `output_dir` starts at the working directory.
    `path` may be a stage of a pipeline, `FILE#NAME`. `before` lists the chain of specs whose `{run: …}` led here.
    """
    stage = address(path)
    if stage and not stage[1].inline:
        return load(stage[1].spec, overrides, before=before)
    document = _extended(stage_document(*stage), stage[0], ()) if stage else _read(FilePath(path), ())
    for line, text in enumerate(overrides, 1):
        document = merge(document, override(text, line, document))
    document = replace(document, file=str(stage[0] if stage else path))
    if stage:
        document = replace(document, data=linked(document, stage[0]))
    if overrides:
        document = replace(document, texts={**document.texts, "--set": "\n".join(overrides)})
    return _typed(_with_name(document), (*before, real(path)))


def _read(path: FilePath, seen: tuple[FilePath, ...]) -> Document:
    document = of_source(load_source(path))
    if "stages" in document.data and "objective" not in document.data:
        message, hint = (
            "this file is a pipeline of several stages, but one spec is needed",
            f"name one stage: `{path}#NAME`",
        )
        raise DiagnosticError(
            [Diagnostic("E003", message, document.span(("stages",), of_key=True), help=hint)]
        )
    return _extended(document, path, seen)


def _extended(document: Document, path: FilePath, seen: tuple[FilePath, ...]) -> Document:
    base = document.data.get("extends")
    if base is None:
        _refuse_misspelt_extends(document)
        return document
    span = document.span(("extends",))
    if not isinstance(base, str):
        raise DiagnosticError(
            [Diagnostic("E003", "`extends` must be a text: a file, or `preset:NAME`", span)]
        )
    del document.data["extends"]
    return merge(_base(base, path, (*seen, real(path)), span), document)


def _refuse_misspelt_extends(document: Document) -> None:
    """Report only a misspelt `extends`; without its base, most fields of the spec are missing."""
    known = field_names(Job)
    if guess := did_you_mean("extends", [key for key in document.data if key not in known]):
        raise DiagnosticError(unknown_field((guess,), ["extends"], document)[0])


def _base(name: str, path: FilePath, seen: tuple[FilePath, ...], span: Span) -> Document:
    if name.startswith("preset:"):
        origins: dict[NodePath, Origin] = {
            p: Origin(span.file, span, span) for p in ((), ("objective",), ("objective", "preset"))
        }
        return Document({"objective": {"preset": name.removeprefix("preset:")}}, origins, span.file)
    target = path.parent / name
    if real(target) in seen or len(seen) > MAX_EXTENDS:
        raise DiagnosticError([Diagnostic("E001", f"`extends: {name}` leads back to this file", span)])
    if not is_file(target):
        raise DiagnosticError(
            [
                Diagnostic(
                    "E008", f"there is no file `{name}`", span, help="paths start at the folder of the spec"
                )
            ]
        )
    return _read(target, seen)


def _with_name(document: Document) -> Document:
    name = document.data.get("name") or FilePath(document.file).stem
    defaults = {"name": name, "output_dir": f"runs/{name}"}
    return replace(document, data={**defaults, **document.data})


def _typed(document: Document, before: tuple[FilePath, ...]) -> Loaded:
    impossible = list(_impossible(document))
    try:
        expanded, found = expand(document), []
    except DiagnosticError as error:
        expanded, found = Expanded(document, None, {}), list(error.diagnostics)
    document = _kind_of_sources(expanded.document)
    try:
        job = Job.model_validate(document.data)
    except ValidationError as error:
        found += diagnose(error, document, Job, skip="objective" if found else None)
    if found or impossible:
        taken = {d.span for d in impossible}
        raise DiagnosticError(_ordered([*impossible, *(d for d in found if d.span not in taken)]))
    job = absolute(anchored(job), document, before)
    job, document = adopted(job, document, lambda spec: load(spec, before=before).job)
    return Loaded(job, document, expanded.preset, expanded.parameters, expanded.nested)


def _kind_of_sources(document: Document) -> Document:
    """Add `kind: sources` to a section of several sources; users do not write this kind."""
    data = document.data.get("data")
    if not isinstance(data, dict) or "kind" in data:
        return document
    inner = [str(name) for name, value in data.items() if isinstance(value, dict)]
    if "sources" not in data and (did_you_mean("kind", data) or not did_you_mean("sources", inner)):
        return document
    return replace(document, data={**document.data, "data": {"kind": "sources", **data}})


def _impossible(document: Document) -> Iterator[Diagnostic]:
    """Find values that no field accepts: `.nan`, `.inf`, and text with impossible characters or length."""
    for path, value in leaves(document.data):
        if isinstance(value, float) and not math.isfinite(value):
            yield Diagnostic("E004", f"`{path[-1]}` must be finite, found {value}", document.span(path))
        if isinstance(value, str) and re.search("[\0\ud800-\udfff]", value):
            message = f"`{path[-1]}` contains a character that is not allowed in a text or a path"
            yield Diagnostic("E004", message, document.span(path), help="delete the escape")
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            message = f"`{path[-1]}` has {len(value)} characters; at most {LONGEST_TEXT} are allowed"
            yield Diagnostic("E004", message, document.span(path), help="write a shorter name or path")


def _ordered(diagnostics: list[Diagnostic]) -> list[Diagnostic]:
    return sorted(diagnostics, key=lambda d: (d.span.file, d.span.line, d.span.column))

"""A spec as plain data with the origin of each value, merged from its layers before types are checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from alignc.diagnostics import Span, did_you_mean
from alignc.yaml.source import NodePath, NodeSpan, Source

__all__ = ["Document", "Origin", "laid_over", "leaves", "merge", "of_source"]


@dataclass(frozen=True)
class Origin:
    """The origin of a value: a place in a file, a preset, or the command line."""

    label: str
    """The text for the user, such as `spec.yaml:6:24` or `preset:dpo`."""
    key: Span | None = None
    value: Span | None = None
    at: NodePath | None = field(default=None, compare=False)
    """The path of the value in the file; presets and names of terms move the value to another path."""

    @property
    def span(self) -> Span | None:
        """The span of the value, or of its key."""
        return self.value or self.key


@dataclass(frozen=True)
class Document:
    """Nested data, and the origin of each node by its path; `bindings` holds formulas over preset parameters."""

    data: dict[str, Any]
    origins: Mapping[NodePath, Origin]
    file: str
    texts: Mapping[str, str] = field(default_factory=dict)
    bindings: Mapping[NodePath, str] = field(default_factory=dict)

    def origin(self, path: NodePath) -> Origin | None:
        """Return the origin of a path, or of its nearest parent with an origin."""
        for end in range(len(path), -1, -1):
            if found := self.origins.get(path[:end]):
                return found
        return None

    def written(self, path: NodePath) -> NodePath:
        """Return the path under which the user wrote a value; without an origin, return the path itself."""
        for end in range(len(path), 0, -1):
            if origin := self.origins.get(path[:end]):
                return path if origin.at is None else (*origin.at, *path[end:])
        return path

    def get(self, path: NodePath, default: Any = None) -> Any:
        """Look a path up in the data."""
        node: Any = self.data
        for step in path:
            try:
                node = node[step]
            except (KeyError, IndexError, TypeError):
                return default
        return node

    def span(self, path: NodePath, *, of_key: bool = False) -> Span:
        """Return the span for a finding at a path: of the value, of its key, or of the nearest parent."""
        for end in range(len(path), -1, -1):
            origin = self.origins.get(path[:end])
            if origin is None:
                continue
            span = (origin.key or origin.value) if of_key or end < len(path) else origin.span
            if span is not None:
                return self._nearer(span, path) if end < len(path) else span
        return Span(self.file, 1, 1, 1, 1)

    def _nearer(self, parent: Span, path: NodePath) -> Span:
        """Return the span of `preset:` for a value of the preset whose parent comes from an extended file."""
        top, preset = self.origins.get(()), self.origins.get(("objective", "preset"))
        given = self.origins.get(path)
        if top is None or preset is None or given is None or top.span is None or preset.span is None:
            return parent
        inherited = parent.file != top.span.file == preset.span.file
        return preset.span if inherited and given.span is None else parent


def of_source(source: Source) -> Document:
    """Turn one loaded file into a document."""
    origins = {path: _origin(path, spans) for path, spans in source.spans.items()}
    return Document(dict(source.data), origins, source.file, {source.file: source.text})


def _origin(path: NodePath, spans: NodeSpan) -> Origin:
    place = spans.value
    return Origin(f"{place.file}:{place.line}:{place.column}", spans.key, spans.value, path)


def merge(base: Document, over: Document) -> Document:
    """Merge one document into another: mappings merge key by key, and other values are replaced.

    A mapping of another form (`{run: …}` over `{init: …}`), or with another `init`, `preset` or `kind`, replaces the
    whole mapping below it. `--set data.reward.kind=…` changes only this key.
    """
    origins = dict(base.origins)
    data = _merge(base.data, over.data, (), origins, over.origins, over.file == "--set")
    origins[()] = over.origins.get((), origins.get((), Origin(over.file)))
    return Document(
        data, origins, over.file, {**base.texts, **over.texts}, {**base.bindings, **over.bindings}
    )


def _merge(
    base: dict[str, Any],
    over: dict[str, Any],
    path: NodePath,
    origins: dict[NodePath, Origin],
    new: Mapping[NodePath, Origin],
    flag: bool,
) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        at = (*path, key)
        below = merged.get(key)
        if (
            isinstance(value, dict)
            and value
            and isinstance(below, dict)
            and not _another_form(below, value, _choices(flag, new[at] != origins.get(at)))
        ):
            merged[key] = _merge(below, value, at, origins, new, flag)
            origins[at] = new[at]
            continue
        merged[key] = value
        for old in [p for p in origins if p[: len(at)] == at]:
            del origins[old]
        origins.update({p: o for p, o in new.items() if p[: len(at)] == at})
    return merged


def _choices(flag: bool, whole: bool) -> tuple[str, ...]:
    """List the keys that make another mapping if their values differ; `whole` says that the mapping is written out."""
    return ("init", "preset", "kind") if whole or not flag else ()


def laid_over(below: Any, above: Any) -> Any:
    """Merge a written value over another; in two mappings of one form, the keys of the upper mapping win."""
    same = isinstance(below, dict) and isinstance(above, dict)
    return {**below, **above} if same and not _another_form(below, above, _choices(True, True)) else above


def _another_form(below: dict[str, Any], above: dict[str, Any], choices: tuple[str, ...]) -> bool:
    """Return whether two mappings have forms that exclude each other."""
    listed = isinstance(below.get("terms"), list), isinstance(above.get("terms"), list)
    if ("preset" in below and listed[1]) or (listed[0] and "preset" in above):
        return True
    if any(k in below and k in above and below[k] != above[k] for k in choices):
        return True
    if ("source" in below and "sources" in above) or ("sources" in below and "source" in above):
        return True
    pairs = (("init", "run"), ("run", "init"), ("source", "fraction"), ("fraction", "source"))
    return any(mine in below and mine not in above and _meant(other, above) for mine, other in pairs)


def _meant(name: str, given: dict[str, Any]) -> bool:
    return name in given or did_you_mean(name, given) is not None


def leaves(value: Any, path: NodePath = ()) -> Iterator[tuple[NodePath, Any]]:
    """Yield each scalar of nested data with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))
    else:
        yield path, value

"""A spec as plain data with the origin of every value: what layers merge into, before types are checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from alignc.diagnostics import Span, did_you_mean
from alignc.yaml.source import NodePath, NodeSpan, Source

__all__ = ["Document", "Origin", "laid_over", "leaves", "merge", "of_source"]


@dataclass(frozen=True)
class Origin:
    """Where a value was written: a place in a file, a preset, the command line."""

    label: str
    """What a person is shown, such as `spec.yaml:6:24` or `preset:dpo`."""
    key: Span | None = None
    value: Span | None = None
    at: NodePath | None = field(default=None, compare=False)
    """The path under which it was written there, which presets and names of terms move elsewhere."""

    @property
    def span(self) -> Span | None:
        """The value's place, or its key's."""
        return self.value or self.key


@dataclass(frozen=True)
class Document:
    """Nested data and, by path, the origin of each node. `bindings` holds formulas over a preset's parameters."""

    data: dict[str, Any]
    origins: Mapping[NodePath, Origin]
    file: str
    texts: Mapping[str, str] = field(default_factory=dict)
    bindings: Mapping[NodePath, str] = field(default_factory=dict)

    def origin(self, path: NodePath) -> Origin | None:
        """Find the origin of a path, or of its nearest parent that has one."""
        for end in range(len(path), -1, -1):
            if found := self.origins.get(path[:end]):
                return found
        return None

    def written(self, path: NodePath) -> NodePath:
        """Turn a path of the data into the one under which its user wrote it; as it is where nobody did."""
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
        """Find the place to point at for a path: the value's (or its key's), else the nearest parent's."""
        for end in range(len(path), -1, -1):
            origin = self.origins.get(path[:end])
            if origin is None:
                continue
            span = (origin.key or origin.value) if of_key or end < len(path) else origin.span
            if span is not None:
                return self._nearer(span, path) if end < len(path) else span
        return Span(self.file, 1, 1, 1, 1)

    def _nearer(self, parent: Span, path: NodePath) -> Span:
        """Choose for what a preset gave the preset's own line, where its parent stands in a file that is extended."""
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
    """Lay one document over another: mappings merge key by key, everything else is replaced.

    A mapping of another form (`{run: …}` over `{init: …}`) or of another `init`, `preset` or `kind` replaces the one
    below it as a whole: what it says of its own choice is all there is to say. `--set data.reward.kind=…` changes that
    key alone.
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
    """Name the keys whose other value makes another mapping; `whole`: it was written out, not only stepped into."""
    return ("init", "preset", "kind") if whole or not flag else ()


def laid_over(below: Any, above: Any) -> Any:
    """Lay a value that is written out over another: of two mappings of one form the upper one's keys win."""
    same = isinstance(below, dict) and isinstance(above, dict)
    return {**below, **above} if same and not _another_form(below, above, _choices(True, True)) else above


def _another_form(below: dict[str, Any], above: dict[str, Any], choices: tuple[str, ...]) -> bool:
    """Tell whether one of two mappings is written in a form that the other excludes."""
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
    """Walk every scalar of nested data with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))
    else:
        yield path, value

"""Strict YAML 1.2 with positions: from a file to plain data and the span of each value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignc.diagnostics.model import Span
from alignc.yaml.reading import checked, read_text

NodePath = tuple[str | int, ...]
"""Keys and list indexes from the top of a document to a value."""


@dataclass(frozen=True)
class NodeSpan:
    """The spans of a value and of its key; list items and the document have no key."""

    key: Span | None
    value: Span


@dataclass(frozen=True)
class Source:
    """A document as plain data, with the span of each value by its path; `spans[()]` is the whole document."""

    data: dict[str, Any]
    spans: Mapping[NodePath, NodeSpan]
    file: str
    text: str

    def value_span(self, path: NodePath) -> Span:
        """Return the span of the value at `path`, or of the nearest value around it."""
        return self.spans[self._known(path)].value

    def key_span(self, path: NodePath) -> Span:
        """Return the span of the key at `path`, else of the nearest key above, else 1:1."""
        known = self._known(path)
        for length in range(len(known), 0, -1):
            key = self.spans[known[:length]].key
            if key is not None:
                return key
        return Span.at(self.file)

    def _known(self, path: NodePath) -> NodePath:
        while path not in self.spans:
            path = path[:-1]
        return path


def load_source(path: str | Path) -> Source:
    """Read and parse a spec file.

    Raises only DiagnosticError with E001 (not strict YAML), E004 (an integer that is too long), E005 (a duplicate
    key) or E008 (a missing file).
    """
    return parse_source(read_text(path), str(path))


def parse_source(text: str, file: str) -> Source:
    """Parse the text of a spec; `file` names it in spans. Raises DiagnosticError as `load_source` does."""
    from alignc.yaml.composing import compose  # ruamel.yaml is loaded only for parsing

    text = checked(text, file)
    data, spans = compose(text, file)
    return Source(data, spans, file, text)


__all__ = ["NodePath", "NodeSpan", "Source", "load_source", "parse_source"]

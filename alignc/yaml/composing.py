"""From events to plain data with spans; everything outside strict YAML is refused.

Imports ruamel.yaml; load this module lazily.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from alignc.diagnostics.lines import Positions
from alignc.diagnostics.model import Diagnostic, DiagnosticError, in_reading_order
from alignc.yaml.scalars import LONGEST_INTEGER, resolve_scalar
from alignc.yaml.scanning import DEEPEST, NotAllowedError, events, too_deep
from alignc.yaml.source import NodePath, NodeSpan
from alignc.yaml.syntax import explain_syntax

MOST_VALUES = 10_000
"""The largest number of keys and values; real specs have some dozens, and the parser takes 25 µs for each."""

_MOST_FINDINGS = 100
_Offsets = tuple[int, int]
_COLON = re.compile(r"\s*:")
_SECOND = re.compile(r"[&!]\S*\s+(?=[&!])")
_PROPERTY = re.compile(r"[^\s,\[\]{}]*")


def compose(text: str, file: str) -> tuple[dict[str, Any], dict[NodePath, NodeSpan]]:
    """Compose the only document in `text`; raises DiagnosticError with all findings."""
    composer = _Composer(text, file)
    try:
        data = composer.document()
    except NotAllowedError as refusal:
        composer.find(refusal.message, refusal.start, refusal.end, refusal.help)
    except MarkedYAMLError as error:
        complaint = explain_syntax(error)
        composer.find(complaint.message, complaint.offset, complaint.offset + 1, complaint.help)
    if composer.findings:
        raise DiagnosticError(in_reading_order(composer.findings))
    return data, composer.spans


class _Composer:
    """One pass over the events of one text. Offsets are code points from the start of the text."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.where = Positions(file, text)
        self.events: Iterator[Event] = events(text)
        self.spans: dict[NodePath, NodeSpan] = {}
        self.findings: list[Diagnostic] = []
        self._left = MOST_VALUES

    def find(self, message: str, start: int, end: int, help_: str, code: str = "E001") -> None:
        self.findings.append(Diagnostic(code, message, self.where.span(start, end), help=help_))

    def document(self) -> dict[str, Any]:
        """Compose the top mapping; an empty text is an empty mapping."""
        self.spans[()] = NodeSpan(None, self.where.span(0, 0))
        data: Any = {}
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                data = self._content(next(self.events))
            elif isinstance(event, DocumentEndEvent):
                self._refuse_more_documents()
        return data  # type: ignore[no-any-return]

    def _content(self, event: Event) -> Any:
        start = event.start_mark.index
        if isinstance(event, ScalarEvent) and _is_plain(event) and not event.value and event.tag is None:
            return {}
        data, end = self._value(event, (), None, 0)
        if not isinstance(event, MappingStartEvent):
            end = min(end, start + len(self.text[start:].split("\n", 1)[0]))
            self.find(
                "the document is not a mapping of keys to values",
                start,
                end,
                "write lines of the form `key: value`",
            )
        return data

    def _refuse_more_documents(self) -> None:
        for event in self.events:
            if isinstance(event, DocumentStartEvent):
                start = event.start_mark.index
                help_ = "keep one spec per file, and delete this `---`"
                raise NotAllowedError("a second document starts here", help_, start, start + 3)

    def _value(self, event: Event, path: NodePath, key: _Offsets | None, depth: int) -> tuple[Any, int]:
        """Return (data, end) of the node that starts with `event`, and record its span."""
        self._count(event, depth)
        self._refuse_properties(event)
        data: Any
        if isinstance(event, MappingStartEvent):
            data, end = self._mapping(event, path, depth + 1)
        elif isinstance(event, SequenceStartEvent):
            data, end = self._sequence(event, path, depth + 1)
        else:
            data, end = self._scalar(event), self._end(event)
        start = event.start_mark.index
        if key is not None and start == end:
            start = end = self._after_colon(key[1])
        key_span = None if key is None else self.where.span(*key)
        self.spans[path] = NodeSpan(key_span, self.where.span(start, end))
        return data, end

    def _after_colon(self, key_end: int) -> int:
        """Return the offset at which a missing value would start; the mark of the parser is at the next token."""
        found = _COLON.match(self.text, key_end)
        return found.end() if found else key_end

    def _mapping(self, event: MappingStartEvent, path: NodePath, depth: int) -> tuple[dict[str, Any], int]:
        data: dict[str, Any] = {}
        lines: dict[str, int] = {}
        end = event.end_mark.index
        while not isinstance(item := next(self.events), CollectionEndEvent):
            name, key_end = self._key(item, path, depth)
            key = (item.start_mark.index, key_end)
            seen = lines.setdefault(name, self.where.point(key[0])[0])
            place: NodePath = (*path, name)
            if name in data:
                self._refuse_duplicate(name, key, seen)
                place = (*path, name, "again")
            value, end = self._value(next(self.events), place, key, depth)
            data.setdefault(name, value)
            end = max(end, key_end)
        return data, item.end_mark.index if event.flow_style else end

    def _sequence(self, event: SequenceStartEvent, path: NodePath, depth: int) -> tuple[list[Any], int]:
        data: list[Any] = []
        end = event.end_mark.index
        while not isinstance(item := next(self.events), CollectionEndEvent):
            value, end = self._value(item, (*path, len(data)), None, depth)
            data.append(value)
        return data, item.end_mark.index if event.flow_style else end

    def _key(self, event: Event, path: NodePath, depth: int) -> tuple[str, int]:
        """Return (name, end) of a key; an invalid key is reported, and its text becomes its name."""
        start = event.start_mark.index
        if not isinstance(event, ScalarEvent):
            _, end = self._value(event, (*path, "?"), None, depth)
            if not isinstance(event, AliasEvent):
                help_ = "write a word as the key; put quotes around text in braces or brackets"
                self.find("a list or a mapping is used as a key", start, min(end, start + 1), help_)
            return self.text[start:end], end
        self._count(event, depth)
        self._refuse_properties(event)
        self._refuse_key(event)
        return str(event.value), self._end(event)

    def _refuse_key(self, event: ScalarEvent) -> None:
        start, end, word = event.start_mark.index, self._end(event), str(event.value)
        if not _is_plain(event):
            return
        if word == "<<":
            self.find(
                "`<<` merges mappings, which is not allowed in a spec",
                start,
                end,
                "write out the keys, or use `extends`",
            )
        elif not word:
            self.find("a key is missing before `:`", start, max(end, start + 1), "write the key")
        elif not isinstance(_resolved(word), str):
            message = f"the key `{_shorten(word)}` is not text"
            self.find(message, start, end, f'put quotes around it: "{_shorten(word)}"')

    def _refuse_properties(self, event: Any) -> None:
        """Report an anchor, a tag or an alias; each of them would give the text a hidden meaning."""
        start = event.start_mark.index
        if isinstance(event, AliasEvent):
            self.find(*self._property("*", start), "write out the value, or put quotes around it")
            return
        if event.anchor is not None:
            self.find(
                *self._property("&", start), "delete it, and use `extends` to share settings between specs"
            )
        if event.tag is not None:
            self.find(
                *self._property("!", start), "delete it, or put quotes around text that starts with `!`"
            )

    def _property(self, sign: str, start: int) -> tuple[str, int, int]:
        kind = {"*": "alias", "&": "anchor", "!": "tag"}[sign]
        start = self._sign(sign, start)
        found = _PROPERTY.match(self.text, start)
        end = found.end() if found else start + 1
        article = "a" if kind == "tag" else "an"
        return (
            f"`{_shorten(self.text[start:end])}` is {article} {kind}, which is not allowed in a spec",
            start,
            end,
        )

    def _sign(self, sign: str, start: int) -> int:
        """Return the offset of a tag or an anchor; the mark of the parser is at the later of the two."""
        if self.text[start] == sign:
            return start
        after = _SECOND.match(self.text, start)
        if after and self.text[after.end()] == sign:
            return after.end()
        at = max(self.text.rfind(sign, 0, start), 0)
        while at > 0 and self.text[at - 1] not in " \t\r\n,[]{}":
            at -= 1
        return at

    def _refuse_duplicate(self, name: str, key: _Offsets, line: int) -> None:
        help_ = f"it is first set on line {line}; keep one of the two"
        self.find(f"`{_shorten(name)}` is set twice", *key, help_, code="E005")

    def _scalar(self, event: Any) -> Any:
        if isinstance(event, AliasEvent) or event.tag is not None:
            return None
        if not _is_plain(event):
            return event.value
        try:
            return resolve_scalar(event.value)
        except OverflowError:
            message = f"an integer of {len(event.value)} characters is out of range"
            help_ = f"use at most {LONGEST_INTEGER} characters, or put quotes around text made of digits"
            self.find(message, event.start_mark.index, self._end(event), help_, code="E004")
            return None

    def _end(self, event: Any) -> int:
        """Return the end of a scalar; a block of text ends before its last blank lines."""
        start, end = event.start_mark.index, event.end_mark.index
        if getattr(event, "style", None) in ("|", ">"):
            return int(start) + len(self.text[start:end].rstrip())
        return int(end)

    def _count(self, event: Event, depth: int) -> None:
        start = event.start_mark.index
        if len(self.findings) >= _MOST_FINDINGS:
            raise NotAllowedError(
                "reading stopped here because of too many errors",
                "correct the errors above first",
                start,
                start + 1,
            )
        if depth >= DEEPEST and not isinstance(event, (ScalarEvent, AliasEvent)):
            raise too_deep(start)
        self._left -= 1
        if self._left < 0:
            help_ = "put data into a separate file, and name the file in `data.source`"
            raise NotAllowedError(
                f"the spec has more than {MOST_VALUES:,} keys and values", help_, start, start + 1
            )


def _is_plain(event: Any) -> bool:
    return not event.style


def _resolved(word: str) -> Any:
    try:
        return resolve_scalar(word)
    except OverflowError:
        return None


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"


__all__ = ["MOST_VALUES", "compose"]

"""Events of ruamel.yaml's parser in pure Python, with limits that keep each text fast and safe.

The C parser is not used, because deep nesting crashes it. Imports ruamel.yaml; load this module lazily.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import Event
from ruamel.yaml.scanner import Scanner
from ruamel.yaml.tokens import TagToken

DEEPEST = 64
"""The largest number of levels of nesting."""

MOST_PIECES = 100_000
"""The largest number of words of plain text and of lines of other text; the scanner takes 3 µs for each."""

_TAG_ENDS = "\0 \t\r\n,[]{}"


class NotAllowedError(Exception):
    """Text that may be YAML but is not allowed in a spec."""

    def __init__(self, message: str, help_: str, start: int, end: int) -> None:
        super().__init__(message)
        self.message, self.help, self.start, self.end = message, help_, start, end


def too_deep(start: int) -> NotAllowedError:
    """Return the error for a level that is too deep and starts at the offset `start`."""
    return NotAllowedError(
        f"the spec has more than {DEEPEST} levels of nesting",
        "a spec needs fewer than ten levels",
        start,
        start + 1,
    )


class _StrictScanner(Scanner):
    """The scanner with limits on its work."""

    pieces = 0

    def fetch_flow_collection_start(self, TokenClass: Any, to_push: str) -> None:  # noqa: N803
        if self.flow_level >= DEEPEST:
            raise too_deep(self.reader.index)
        super().fetch_flow_collection_start(TokenClass, to_push)

    def fetch_directive(self) -> None:
        start = self.reader.index
        if self.reader.prefix(9) != "%YAML 1.2":
            raise NotAllowedError(
                "a directive is not allowed in a spec", "delete this line", start, start + 1
            )
        super().fetch_directive()

    def scan_tag(self) -> TagToken:
        """Return a tag without decoding it: tags are refused later, and decoding takes quadratic time."""
        start, length = self.reader.get_mark(), 1
        while self.reader.peek(length) not in _TAG_ENDS:
            length += 1
        text = self.reader.prefix(length)
        self.reader.forward(length)
        return TagToken((None, text), start, self.reader.get_mark())

    def scan_plain_spaces(self, indent: Any, start_mark: Any) -> Any:
        self._count_piece()
        return super().scan_plain_spaces(indent, start_mark)

    def scan_flow_scalar_spaces(self, double: Any, start_mark: Any) -> Any:
        self._count_piece()
        return super().scan_flow_scalar_spaces(double, start_mark)

    def scan_block_scalar_breaks(self, indent: int) -> Any:
        self._count_piece()
        return super().scan_block_scalar_breaks(indent)

    def _count_piece(self) -> None:
        self.pieces += 1
        if self.pieces > MOST_PIECES:
            start = self.reader.index
            help_ = "put long text into a separate file"
            raise NotAllowedError(
                f"the spec has more than {MOST_PIECES:,} words or lines of text", help_, start, start + 1
            )


def events(text: str) -> Iterator[Event]:
    """Yield the parser's events; their marks' `index` is an offset in `text`.

    Raises NotAllowedError for text that is not allowed in a spec, and MarkedYAMLError for text that is not YAML.
    """
    yaml = YAML(typ="safe", pure=True)
    yaml.Scanner = _StrictScanner
    last = None
    try:
        for event in yaml.parse(text):
            last = event.end_mark
            yield event
    except (NotAllowedError, MarkedYAMLError):
        raise
    except Exception as error:
        # The library lets a few Python exceptions escape, for example for a code point beyond Unicode.
        raise MarkedYAMLError(problem=type(error).__name__, problem_mark=last) from error


__all__ = ["DEEPEST", "MOST_PIECES", "NotAllowedError", "events", "too_deep"]

"""Lines of a text as an editor counts them."""

from __future__ import annotations

import re
from bisect import bisect_right

from alignc.diagnostics.model import Span

_BREAK = re.compile(r"\r\n|\n|\r")


def split_lines(text: str) -> list[str]:
    r"""Split at \n, \r\n and \r only: str.splitlines would also split at U+2028 and others."""
    return _BREAK.split(text)


class Positions:
    """Turns offsets in a text into lines and columns; the text is scanned only as far as needed."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._length = len(text)
        self._starts = [0]
        self._breaks = _BREAK.finditer(text)

    def point(self, offset: int) -> tuple[int, int]:
        """Return (line, column), both from 1, of an offset in code points."""
        offset = min(max(offset, 0), self._length)
        while self._starts[-1] <= offset and (found := next(self._breaks, None)):
            self._starts.append(found.end())
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def span(self, start: int, end: int) -> Span:
        """Return the span between two offsets, end exclusive."""
        return Span(self.file, *self.point(start), *self.point(max(start, end)))


__all__ = ["Positions", "split_lines"]

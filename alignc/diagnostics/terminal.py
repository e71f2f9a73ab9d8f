"""Findings for the terminal: the source line, a caret under the span, the reason and the help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alignc.diagnostics.codes import help_of, why_of
from alignc.diagnostics.display import cells, plain
from alignc.diagnostics.lines import split_lines
from alignc.diagnostics.model import Diagnostic, Span, count

_WIDEST = 120
_BEFORE = 60
_RESET = "\033[0m"
_BOLD = "\033[1m"
_BLUE = "\033[1;34m"
_LEVELS = {"error": "\033[1;31m", "warning": "\033[1;33m"}


def render_full(
    diagnostics: Sequence[Diagnostic], *, specs: int | None, color: bool, sources: Mapping[str, str]
) -> str:
    """Show each finding with its source line; if `specs` is given, add a summary of the counts."""
    lines = {file: split_lines(text) for file, text in sources.items()}
    blocks = [_finding(found, lines.get(found.span.file, []), color) for found in diagnostics]
    if specs is not None:
        blocks.append(summary(diagnostics, specs))
    return "\n\n".join(blocks) + "\n" if blocks else ""


def summary(diagnostics: Sequence[Diagnostic], specs: int) -> str:
    """Return the counts as a sentence: "Checked 3 specs: 2 errors, 1 warning."."""
    errors, warnings = count(diagnostics)
    found = [_several(errors, "error")] * (errors > 0) + [_several(warnings, "warning")] * (warnings > 0)
    return f"Checked {_several(specs, 'spec')}: {', '.join(found) or 'nothing to report'}."


def _several(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _finding(found: Diagnostic, lines: Sequence[str], color: bool) -> str:
    def paint(style: str, text: str) -> str:
        return f"{style}{text}{_RESET}" if color else text

    level = _LEVELS[found.severity]
    margin = " " * (len(str(found.span.line)) + 1)
    head = paint(level, f"{found.severity}[{found.code}]") + paint(_BOLD, f": {plain(found.message)}")
    arrow = [f"{margin}{paint(_BLUE, '-->')} {plain(str(found.span))}"] if found.span.file else []
    bar = f"{margin} {paint(_BLUE, '|')}"
    parts = [head, *arrow]
    if found.span.line <= len(lines):
        line, carets = _marked(lines[found.span.line - 1], found.span)
        number = paint(_BLUE, f" {found.span.line} |")
        parts += [bar, f"{number} {line}".rstrip(), f"{bar} {carets[0]}{paint(level, carets[1])}"]
    for label, text in (("why: ", why_of(found)), ("help:", help_of(found))):
        if text:
            parts.append(f"{margin} {paint(_BLUE, '=')} {label} {_indented(text, len(margin) + 9)}")
    return "\n".join(parts)


def _indented(text: str, margin: int) -> str:
    return plain(text).replace("\n", "\n" + " " * margin)


def _marked(line: str, span: Span) -> tuple[str, tuple[str, str]]:
    """Return the displayed line, and the blanks and carets below it; a long line is cut around the span."""
    start = span.column - 1
    end = span.end_column - 1 if span.end_line == span.line else len(line)
    line, start, end = _window(line, start, max(end, start + 1))
    shown = cells(line)
    before = sum(taken for _, taken in shown[:start]) + max(start - len(shown), 0)
    under = sum(taken for _, taken in shown[start:end])
    return "".join(text for text, _ in shown), (" " * before, "^" * max(under, 1))


def _window(line: str, start: int, end: int) -> tuple[str, int, int]:
    if len(line) <= _WIDEST:
        return line, start, end
    left = min(max(start - _BEFORE, 0), max(len(line) - _WIDEST, 0))
    cut = line[left : left + _WIDEST]
    head, tail = "…" * (left > 0), "…" * (left + _WIDEST < len(line))
    shift = len(head) - left
    return head + cut + tail, start + shift, min(end + shift, len(head + cut))


__all__ = ["render_full", "summary"]

"""Waivers: `# alignc: ignore[W206] reason` at the end of a line, or alone above it, waives a code there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from alignc.diagnostics.codes import CODES
from alignc.diagnostics.comments import Comment, comments
from alignc.diagnostics.lines import split_lines
from alignc.diagnostics.model import Diagnostic, Span
from alignc.diagnostics.suggest import did_you_mean

_SIGN = re.compile(r"#\s*alignc:\s*(?P<kind>ignore[\w-]*)\s*(?:\[(?P<codes>[^\]]*)\])?\s*(?P<reason>.*)")
_INSTEAD = "write `# alignc: ignore[CODE] reason`"


@dataclass(frozen=True)
class Waiver:
    """One code waived at one line, or in the whole file where `line` is None."""

    code: str
    line: int | None
    reason: str
    span: Span


def apply_waivers(diagnostics: Iterable[Diagnostic], sources: Mapping[str, str]) -> tuple[Diagnostic, ...]:
    """Drop the findings that comments waive, and add W009 for each comment that cannot waive anything.

    `sources`: the texts of the specs by file name. A waiver applies to findings whose span starts on its line.
    """
    waived: set[tuple[str, str, int | None]] = set()
    idle: list[Diagnostic] = []
    for file, text in sources.items():
        for item in read_waivers(text, file):
            if isinstance(item, Diagnostic):
                idle.append(item)
            else:
                waived.add((file, item.code, item.line))
    kept = [found for found in diagnostics if not _reached(found, waived)]
    return (*kept, *(found for found in idle if not _reached(found, waived)))


def _reached(found: Diagnostic, waived: set[tuple[str, str, int | None]]) -> bool:
    file, code = found.span.file, found.code
    return (file, code, found.span.line) in waived or (file, code, None) in waived


def read_waivers(text: str, file: str) -> Iterator[Waiver | Diagnostic]:
    """Yield each waiver of a spec, and a finding (W009) for each waiver without effect."""
    if "alignc:" not in text:
        return
    found = list(comments(text))
    content = _content_lines(text, {comment.line for comment in found if comment.alone})
    for comment in found:
        if match := _SIGN.match(comment.text):
            end = comment.column + len(comment.text.rstrip())
            span = Span(file, comment.line, comment.column, comment.line, end)
            yield from _waivers(match, comment, content, span)


def _content_lines(text: str, comment_lines: set[int]) -> list[int]:
    lines = enumerate(split_lines(text), 1)
    return [number for number, line in lines if number not in comment_lines and line.strip(" \t-")]


def _waivers(
    match: re.Match[str], comment: Comment, content: list[int], span: Span
) -> Iterator[Waiver | Diagnostic]:
    kind, listed, reason = match["kind"], match["codes"], match["reason"].strip()
    if kind not in ("ignore", "ignore-file") or not (listed or "").strip():
        yield Diagnostic("W009", "this comment is not a valid waiver", span, help=_INSTEAD)
        return
    line: int | None
    if kind == "ignore-file":
        line = None
        if not comment.alone or (content and comment.line > content[0]):
            message = "`ignore-file` has no effect below the first key"
            yield Diagnostic("W009", message, span, help="move it to the top of the file")
            return
    else:
        line = next((number for number in content if number >= comment.line), comment.line)
        line = line if comment.alone else comment.line
    for code in (part.strip() for part in listed.split(",")):
        yield _objection(code, span) or Waiver(code, line, reason, span)


def _objection(code: str, span: Span) -> Diagnostic | None:
    if code not in CODES:
        guess = did_you_mean(code, CODES)
        help_ = f"did you mean `{guess}`?" if guess else "`alignc rule` lists the codes"
        return Diagnostic("W009", f"there is no code `{code}`", span, help=help_)
    if not CODES[code].waivable:
        return Diagnostic(
            "W009",
            f"{code} cannot be waived",
            span,
            help="correct the cause of the error, and delete this comment",
        )
    return None


__all__ = ["Waiver", "apply_waivers", "read_waivers"]

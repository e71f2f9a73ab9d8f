"""Findings as SARIF 2.1.0, which code scanning services read (OASIS, sarif-v2.1.0-os)."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from alignc import __version__
from alignc.diagnostics.codes import CODES, Code, help_of, why_of
from alignc.diagnostics.lines import split_lines
from alignc.diagnostics.model import Diagnostic, Span

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def render_sarif(diagnostics: Sequence[Diagnostic], *, sources: Mapping[str, str]) -> str:
    """Return a log with one run: every code as a rule, every finding as a result."""
    driver = {"name": "alignc", "version": __version__, "rules": [_rule(code) for code in CODES.values()]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": _results(diagnostics, sources),
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(code: Code) -> dict[str, Any]:
    return {
        "id": code.code,
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": f"{code.title}: {code.why}."},
        "help": {"text": code.help},
        "defaultConfiguration": {"level": "warning" if code.code.startswith("W") else "error"},
    }


def _results(diagnostics: Sequence[Diagnostic], sources: Mapping[str, str]) -> list[dict[str, Any]]:
    lines = {file: split_lines(text) for file, text in sources.items()}
    numbers = {code: index for index, code in enumerate(CODES)}
    seen: Counter[str] = Counter()
    results = []
    for found in diagnostics:
        result = _result(found)
        if found.code in numbers:
            result["ruleIndex"] = numbers[found.code]
        identity = _identity(found, lines.get(found.span.file, []))
        result["partialFingerprints"] = {"alignc/v1": f"{identity}:{seen[identity]}"}
        seen[identity] += 1
        results.append(result)
    return results


def _result(found: Diagnostic) -> dict[str, Any]:
    labelled = (("Why", why_of(found)), ("Help", help_of(found)))
    text = "\n".join([found.message, *(f"{label}: {words}" for label, words in labelled if words)])
    place = {"artifactLocation": {"uri": _uri(found.span.file)}, "region": _region(found.span)}
    return {
        "ruleId": found.code,
        "level": found.severity,
        "message": {"text": text},
        "locations": [{"physicalLocation": place}],
    }


def _region(span: Span) -> dict[str, int]:
    return {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }


def _uri(file: str) -> str:
    """Return a file's name relative to the working directory, as a URI; outside of it a file: URI."""
    name = os.path.relpath(file) if os.path.isabs(file) else os.path.normpath(file)
    if name.startswith(".."):
        return "file://" + _quoted(os.path.abspath(file))
    return _quoted(name)


def _quoted(name: str) -> str:
    return quote(name.replace(os.sep, "/").encode("utf-8", "surrogateescape"), safe="/~")


def _identity(found: Diagnostic, lines: Sequence[str]) -> str:
    """Hash the code, the file and the text of the line, which do not change if lines above are added or removed."""
    line = lines[found.span.line - 1].strip() if found.span.line <= len(lines) else found.message
    text = "\0".join((found.code, _uri(found.span.file), line))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


__all__ = ["render_sarif"]

"""Findings in one of the output formats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from alignc.diagnostics.github import render_github
from alignc.diagnostics.model import Diagnostic, in_reading_order
from alignc.diagnostics.structured import render_json
from alignc.diagnostics.terminal import render_full

Format = Literal["full", "json", "github", "sarif"]


def render(
    diagnostics: Iterable[Diagnostic],
    format: Format = "full",  # noqa: A002
    *,
    specs: int | None = None,
    color: bool = False,
    sources: Mapping[str, str] | None = None,
) -> str:
    """Render findings, sorted by place, as text that ends with a line feed (or is empty).

    `specs`: how many specs were read; None leaves the closing sentence of `full` out.
    `sources`: texts by file name, for source lines; findings in other files show their place alone.
    """
    found = in_reading_order(diagnostics)
    texts = sources or {}
    match format:
        case "full":
            return render_full(found, specs=specs, color=color, sources=texts)
        case "json":
            return render_json(found, specs=specs)
        case "github":
            return render_github(found)
        case "sarif":
            from alignc.diagnostics.sarif import render_sarif  # urllib and hashlib, for this format alone

            return render_sarif(found, sources=texts)


__all__ = ["Format", "render"]

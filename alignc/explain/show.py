"""Show an explanation as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from alignc.claims.kinds.spec import Variant
from alignc.claims.model import Section
from alignc.claims.render import Line, as_text, lines
from alignc.explain.model import Explanation
from alignc.printers.dialect import number
from alignc.yaml.scalars import scalar_text

__all__ = ["logged_words", "parts", "sections", "show", "shown_value"]

WIDTH, LABEL, LONG = 110, 12, 60


def show(explained: Explanation) -> str:
    """Format an explanation for a terminal: labels on the left, at most 110 columns."""
    return "\n".join(line.rstrip() for line in _lines(explained)) + "\n"


def _lines(e: Explanation) -> Iterator[str]:
    yield from _head(e)
    yield ""
    yield f"  {e.formula}"
    yield from (f"  {line}" for line in e.losses)
    yield ""
    lengths = [len(f"{w.symbol} = {w.definition}") for w in e.where]
    width = max((n for n in lengths if n <= LONG), default=0)
    for w in e.where:
        yield f"      {f'{w.symbol} = {w.definition}':<{width}}   {w.note}"
    yield ""
    yield from _values(e)
    for label, found in sections(e):
        yield from _section(label, found)


def _head(e: Explanation) -> Iterator[str]:
    """Write the title and its paper in one line; those of a variant that are long have lines of their own."""
    title, paper = f"{e.name}: {e.title}", f"   ({e.paper})" if e.paper else ""
    changed = any(isinstance(c, Variant) and c.axes for c in e.claims)
    if len(title) + len(paper) <= WIDTH or not changed:
        yield title + paper
        return
    yield from textwrap.wrap(title, WIDTH, subsequent_indent="  ")
    if paper:
        yield paper


def sections(e: Explanation) -> list[tuple[str, Sequence[str]]]:
    """List the sections below the formula and its values as plain text, with their labels."""
    return [(label, [as_text(x) if isinstance(x, tuple) else x for x in found]) for label, found in parts(e)]


def parts(e: Explanation) -> list[tuple[str, Sequence[str | Line]]]:
    """List the sections below the formula and its values: lines of claims, and texts; each format shows these."""

    def said(section: Section) -> list[Line]:
        return lines(e.claims, section)

    return [
        ("terms", e.terms),
        ("rollout", said(Section.ROLLOUT)),
        ("generation", e.generation),
        ("gradient", said(Section.GRADIENT)),
        ("kl", said(Section.KL)),
        ("optimum", said(Section.OPTIMUM)),
        ("models", said(Section.MODELS)),
        ("data", [e.data]),
        ("scaling", said(Section.SCALING)),
        ("step 0", said(Section.STEP_ZERO) or ["no value is known before the data is read"]),
        ("metrics", [", ".join(e.metrics), *(f"{name}: {text}" for name, text in logged_words(e))]),
        ("healthy", said(Section.HEALTHY)),
        ("deviations", said(Section.DEVIATIONS)),
        ("use it when", said(Section.WHEN)),
    ]


def _values(e: Explanation) -> Iterator[str]:
    rows = [(f"{v.symbol} = {shown_value(v.value)}", v.unit, v.field, v.origin) for v in e.values]
    widths = [max((len(r[i]) for r in rows), default=0) for i in range(3)]
    lines = ["   ".join(f"{cell:<{w}}" for cell, w in zip(r, [*widths, 0], strict=True)) for r in rows]
    yield from _section("values", lines, wrap=False)


def shown_value(value: object) -> str:
    """Print a value of the spec."""
    return (
        number(float(value))
        if isinstance(value, int | float) and not isinstance(value, bool)
        else scalar_text(value)
    )


def logged_words(e: Explanation) -> list[tuple[str, str]]:
    """Return name and meaning of each rollout metric, with its healthy values unless the preset gives them."""
    own = e.healthy
    return [(m.name, m.meaning if m.name in own else f"{m.meaning}; healthy: {m.healthy}") for m in e.logged]


def _section(label: str, lines: object, *, wrap: bool = True) -> Iterator[str]:
    shown = [str(line) for line in lines]  # type: ignore[attr-defined]
    first = True
    for line in shown:
        parts = textwrap.wrap(line, WIDTH - LABEL - 1, subsequent_indent="  ") if wrap else [line]
        for part in parts or [""]:
            yield f"{label if first else '':<{LABEL}} {part}"
            first = False

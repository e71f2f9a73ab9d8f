"""Show an explanation as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from alignc.explain.model import Explanation
from alignc.printers.dialect import number

__all__ = ["show"]

WIDTH, LABEL, LONG = 110, 12, 60


def show(explained: Explanation) -> str:
    """Lay an explanation out for a terminal: labels at the left, at most 110 columns."""
    return "\n".join(line.rstrip() for line in _lines(explained)) + "\n"


def _lines(e: Explanation) -> Iterator[str]:
    yield f"{e.name}: {e.title}" + (f"   ({e.paper})" if e.paper else "")
    yield ""
    yield f"  {e.formula}"
    yield ""
    lengths = [len(f"{w.symbol} = {w.definition}") for w in e.where]
    width = max((n for n in lengths if n <= LONG), default=0)
    for w in e.where:
        yield f"      {f'{w.symbol} = {w.definition}':<{width}}   {w.note}"
    yield ""
    yield from _values(e)
    yield from _section("terms", e.terms)
    yield from _section("gradient", _gradient(e))
    yield from _section("models", [f"{role}: {text}" for role, text in e.roles])
    yield from _section("data", [e.data])
    yield from _section("scaling", [e.scaling])
    yield from _section("step 0", _step0(e))
    yield from _section("metrics", [", ".join(e.metrics)])
    yield from _section("healthy", [f"{name}: {text}" for name, text in e.healthy])
    yield from _section("deviations", e.deviations)
    yield from _section("use it when", [e.when] if e.when else [])


def _values(e: Explanation) -> Iterator[str]:
    rows = [(f"{v.symbol} = {_value(v.value)}", v.unit, v.field, v.origin) for v in e.values]
    widths = [max((len(r[i]) for r in rows), default=0) for i in range(3)]
    lines = ["   ".join(f"{cell:<{w}}" for cell, w in zip(r, [*widths, 0], strict=True)) for r in rows]
    yield from _section("values", lines, wrap=False)


def _value(value: object) -> str:
    return (
        number(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
    )


def _gradient(e: Explanation) -> list[str]:
    lines = []
    for c in e.gradient:
        start = "" if c.at_start is None else f"; {number(round(c.at_start, 6))} at the start"
        lines.append(f"{c.of} = {c.formula}: {c.words}{start}")
    return [*lines, *([e.gauge] if e.gauge else [])]


def _step0(e: Explanation) -> list[str]:
    if not e.step0:
        return ["nothing is known before the data is read"]
    return [
        ", ".join(f"{name} {number(round(value, 6))}" for name, value in e.step0) + ": asserted in the run"
    ]


def _section(label: str, lines: object, *, wrap: bool = True) -> Iterator[str]:
    shown = [str(line) for line in lines]  # type: ignore[attr-defined]
    first = True
    for line in shown:
        parts = textwrap.wrap(line, WIDTH - LABEL - 1, subsequent_indent="  ") if wrap else [line]
        for part in parts or [""]:
            yield f"{label if first else '':<{LABEL}} {part}"
            first = False

"""Show an explanation as plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from alignc.explain.model import Coefficient, Explanation
from alignc.printers.dialect import number
from alignc.yaml.scalars import scalar_text

__all__ = ["gradient_words", "logged_words", "sections", "show", "shown_value"]

WIDTH, LABEL, LONG = 110, 12, 60


def show(explained: Explanation) -> str:
    """Format an explanation for a terminal: labels on the left, at most 110 columns."""
    return "\n".join(line.rstrip() for line in _lines(explained)) + "\n"


def _lines(e: Explanation) -> Iterator[str]:
    yield f"{e.name}: {e.title}" + (f"   ({e.paper})" if e.paper else "")
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
    for label, lines in sections(e):
        yield from _section(label, lines)


def sections(e: Explanation) -> list[tuple[str, Sequence[str]]]:
    """List the sections below the formula and its values, with their labels; each format shows these sections."""
    return [
        ("terms", e.terms),
        ("rollout", e.rollout),
        ("generation", e.generation),
        ("gradient", _gradient(e)),
        ("kl", e.kl),
        ("optimum", e.optimum),
        ("models", [f"{role}: {text}" for role, text in e.roles]),
        ("data", [e.data]),
        ("scaling", [e.scaling]),
        ("step 0", _step0(e)),
        ("metrics", [", ".join(e.metrics), *(f"{name}: {text}" for name, text in logged_words(e))]),
        ("healthy", [f"{name}: {text}" for name, text in e.healthy]),
        ("deviations", e.deviations),
        ("use it when", [e.when] if e.when else []),
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


def gradient_words(c: Coefficient) -> str:
    """Return the effect of a coefficient in words, and its value at the start."""
    start = "" if c.at_start is None else f"; {number(round(c.at_start, 6))} at the start"
    return f"{c.words}{start}"


def logged_words(e: Explanation) -> list[tuple[str, str]]:
    """Return name and meaning of each rollout metric, with its healthy values unless the preset gives them."""
    own = dict(e.healthy)
    return [(m.name, m.meaning if m.name in own else f"{m.meaning}; healthy: {m.healthy}") for m in e.logged]


def _gradient(e: Explanation) -> list[str]:
    lines = [f"{c.of} = {c.formula}: {gradient_words(c)}" for c in e.gradient]
    return [*lines, *([e.gauge] if e.gauge else [])]


def _step0(e: Explanation) -> list[str]:
    if not e.step0:
        return ["no value is known before the data is read"]
    return [
        ", ".join(f"{name} {number(round(value, 6))}" for name, value in e.step0) + ": checked in the run"
    ]


def _section(label: str, lines: object, *, wrap: bool = True) -> Iterator[str]:
    shown = [str(line) for line in lines]  # type: ignore[attr-defined]
    first = True
    for line in shown:
        parts = textwrap.wrap(line, WIDTH - LABEL - 1, subsequent_indent="  ") if wrap else [line]
        for part in parts or [""]:
            yield f"{label if first else '':<{LABEL}} {part}"
            first = False

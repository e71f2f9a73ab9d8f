"""Draw curves in panels: one panel for each quantity, one line for each method, a band from lowest to highest seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Panel", "chart"]

WIDTH, HEIGHT, LEFT, TOP, GAP = 400, 300, 52, 34, 24
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#222222")

Point = tuple[float, float, float, float]
"""A step, and the mean, the lowest and the highest value of the seeds there."""


@dataclass(frozen=True)
class Panel:
    """A quantity by step: a curve for each name."""

    title: str
    curves: Mapping[str, Sequence[Point]]


def chart(panels: Sequence[Panel], dashed: Sequence[str] = ()) -> str:
    """Draw panels beside one another, their names below; curves in ``dashed`` are dashed."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.curves))
    colours = {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(names)}
    width, height = len(panels) * (WIDTH + GAP), HEIGHT + 54 + 20 * -(-len(names) // 4)
    body = "".join(draw(panel, at * (WIDTH + GAP), colours, dashed) for at, panel in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif"'
        f' font-size="12"><rect width="{width}" height="{height}" fill="white"/>{body}'
        + legend(colours, dashed, width)
        + "</svg>\n"
    )


def draw(panel: Panel, x: float, colours: Mapping[str, str], dashed: Sequence[str]) -> str:
    points = [point for curve in panel.curves.values() for point in curve]
    right = max(point[0] for point in points)
    low, high, step = scale(min(p[2] for p in points), max(p[3] for p in points))

    def at(step: float, value: float) -> str:
        across = x + LEFT + step / right * (WIDTH - LEFT)
        return f"{across:.1f},{TOP + (high - value) / (high - low) * (HEIGHT - TOP):.1f}"

    parts = [f'<text x="{x + LEFT}" y="18" font-size="14">{escape(panel.title)}</text>']
    for tick in ticks(low, high, step):
        (x1, y), x2 = at(0, tick).split(","), at(right, tick).split(",")[0]
        parts.append(f'<line x1="{x1}" y1="{y}" x2="{x2}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{x + LEFT - 6}" y="{float(y) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in ticks(0, right, scale(0, right)[2]):
        place = at(tick, low).split(",")[0]
        parts.append(f'<text x="{place}" y="{HEIGHT + 16}" text-anchor="middle">{tick:g}</text>')
    middle = x + (LEFT + WIDTH) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT + 33}" text-anchor="middle">optimizer step</text>')
    for name, curve in panel.curves.items():
        parts.append(line(curve, at, colours[name], name in dashed))
    return "".join(parts)


def line(curve: Sequence[Point], at: Callable[[float, float], str], colour: str, dashed: bool) -> str:
    path = " ".join(at(point[0], point[1]) for point in curve)
    edge = [at(p[0], p[3]) for p in curve] + [at(p[0], p[2]) for p in reversed(curve)]
    strokes = ' stroke-dasharray="6 4"' if dashed else ""
    return (
        f'<polygon points="{" ".join(edge)}" fill="{colour}" fill-opacity="0.1"/>'
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{strokes}/>'
    )


def scale(low: float, high: float) -> tuple[float, float, float]:
    """Widen a range to whole ticks, of which there are three to eight; give the ticks' distance too."""
    span = (high - low) or 1.0
    size = 10.0 ** math.floor(math.log10(span))
    step = next(size * part for part in (0.1, 0.2, 0.5, 1.0, 2.0) if span / (size * part) <= 7)
    return math.floor(low / step) * step, math.ceil(high / step) * step, step


def ticks(low: float, high: float, step: float) -> list[float]:
    return [round(low + each * step, 10) for each in range(int((high - low) / step + 1e-9) + 1)]


def legend(colours: Mapping[str, str], dashed: Sequence[str], width: float) -> str:
    parts, column = [], width / 4
    for place, (name, colour) in enumerate(colours.items()):
        x, y = LEFT + place % 4 * column, HEIGHT + 60 + 20 * (place // 4)
        stroke = ' stroke-dasharray="6 4"' if name in dashed else ""
        parts.append(
            f'<line x1="{x}" y1="{y - 4}" x2="{x + 26}" y2="{y - 4}" stroke="{colour}" stroke-width="2"{stroke}/>'
            f'<text x="{x + 32}" y="{y}">{escape(name)}</text>'
        )
    return "".join(parts)

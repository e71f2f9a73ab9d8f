"""Draw the outline of a loss as SVG: inputs at the left, the loss at the right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from alignc.lower.loss import Loss
from alignc.printers.outline import Edge, Outline, Vertex, outline

__all__ = ["drawing"]

CHARACTER, HEIGHT, TALL, WAY = 7.4, 34, 52, 6
GAP_X, GAP_Y, MARGIN = 56, 18, 8
LONGEST = 44


@dataclass(frozen=True)
class Box:
    """Where a vertex is drawn."""

    x: float
    y: float
    width: float
    height: float


def drawing(loss: Loss) -> str:
    """Draw a loss. Colours are CSS classes of the page; a dashed line carries no gradient."""
    drawn = outline(loss)
    routes = _routes(drawn)
    boxes = _boxes(drawn, routes)
    width = max(b.x + b.width for b in boxes.values()) + MARGIN
    height = max(b.y + b.height for b in boxes.values()) + MARGIN
    lines = [_line(e.stopped, [boxes[key] for key in route]) for e, route in routes.items()]
    shapes = [_shape(v, boxes[v.key]) for v in drawn.vertices]
    head = (
        f'<svg class="graph" role="img" aria-label="graph of the loss" viewBox="0 0 {width:.0f} {height:.0f}"'
    )
    least = f' style="min-width:{min(width, max(0.6 * width, 640)):.0f}px"'
    size = f' width="{width:.0f}" height="{height:.0f}"{least} xmlns="http://www.w3.org/2000/svg">'
    return "\n".join([head + size, *lines, *shapes, "</svg>"])


Routes = dict[Edge, tuple[str, ...]]
"""Of each edge, the boxes that it visits: its ends, and a way through every column between them."""


def _levels(drawn: Outline) -> dict[str, int]:
    """Find the column of every vertex: as far right as what it flows into allows."""
    level: dict[str, int] = {}
    for vertex in reversed(drawn.vertices):
        after = [level[e.end] for e in drawn.edges if e.start == vertex.key]
        level[vertex.key] = min(after, default=1) - 1
    least = min(level.values())
    return {key: n - least for key, n in level.items()}


def _routes(drawn: Outline) -> Routes:
    level = _levels(drawn)
    return {
        e: (e.start, *(f"{e.start}>{e.end}@{n}" for n in range(level[e.start] + 1, level[e.end])), e.end)
        for e in drawn.edges
    }


def _columns(drawn: Outline, routes: Routes) -> list[list[Vertex]]:
    """Sort vertices, and the ways of edges through columns that they pass, into columns."""
    level = _levels(drawn)
    columns: list[list[Vertex]] = [[] for _ in range(max(level.values()) + 1)]
    for vertex in drawn.vertices:
        columns[level[vertex.key]].append(vertex)
    for route in routes.values():
        for key in route[1:-1]:
            columns[int(key.rpartition("@")[2])].append(Vertex(key, "way", "", "", ""))
    return columns


def _boxes(drawn: Outline, routes: Routes) -> dict[str, Box]:
    """Place the columns from left to right, each centred."""
    columns = _columns(drawn, routes)
    heights = [sum(_height(v) for v in c) + GAP_Y * (len(c) - 1) for c in columns]
    placed: dict[str, Box] = {}
    x = float(MARGIN)
    for column, height in zip(columns, heights, strict=True):
        width = max(_width(v) for v in column)
        y = MARGIN + (max(heights) - height) / 2
        for vertex in _ordered(column, routes, placed):
            placed[vertex.key] = Box(x, y, width, _height(vertex))
            y += _height(vertex) + GAP_Y
        x += width + GAP_X
    return placed


def _ordered(column: list[Vertex], routes: Routes, placed: Mapping[str, Box]) -> list[Vertex]:
    """Order a column by the middle of what flows into each box, so that few lines cross."""

    def middle(vertex: Vertex) -> float:
        before = [
            route[i - 1]
            for route in routes.values()
            for i, key in enumerate(route)
            if i and key == vertex.key
        ]
        found = [placed[key].y + placed[key].height / 2 for key in before]
        return sum(found) / len(found) if found else float("inf")

    return sorted(column, key=middle)


def _short(formula: str) -> str:
    return formula if len(formula) <= LONGEST else formula[: LONGEST - 1] + "…"


def _width(vertex: Vertex) -> float:
    return CHARACTER * max(len(vertex.title), len(_short(vertex.formula))) + 24


def _height(vertex: Vertex) -> int:
    return WAY if vertex.kind == "way" else TALL if vertex.formula else HEIGHT


def _line(stopped: bool, boxes: list[Box]) -> str:
    """Draw a line through boxes: curves between columns, straight where it passes one."""
    path = f"M{boxes[0].x + boxes[0].width:.1f} {boxes[0].y + boxes[0].height / 2:.1f}"
    for before, box in pairwise(boxes):
        x1, y1 = before.x + before.width, before.y + before.height / 2
        last = box is boxes[-1]
        x2, y2 = box.x - (7 if last else 0), box.y + box.height / 2
        bend = max(24.0, (x2 - x1) / 2)
        path += f"C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
        path += "" if last else f"H{box.x + box.width:.1f}"
    head = f"M{x2 - 1:.1f} {y2 - 4:.1f}L{x2 + 7:.1f} {y2:.1f}L{x2 - 1:.1f} {y2 + 4:.1f}Z"
    return f'<path class="edge{" stopped" if stopped else ""}" d="{path}"/><path class="head" d="{head}"/>'


def _shape(vertex: Vertex, box: Box) -> str:
    middle = box.x + box.width / 2
    hint = escape(f"{vertex.meaning}: {vertex.title}" + (f" = {vertex.formula}" if vertex.formula else ""))
    rect = f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height}" rx="6"/>'
    lines = [_text(middle, box.y + 21.5, vertex.title, "title")]
    if vertex.formula:
        lines.append(_text(middle, box.y + 40, _short(vertex.formula), "formula"))
    return f'<g class="box {vertex.kind}"><title>{hint}</title>{rect}{"".join(lines)}</g>'


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(text)}</text>'

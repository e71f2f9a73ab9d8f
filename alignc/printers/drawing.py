"""Draw the outline of a loss as SVG: inputs at the left, the loss at the right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from alignc.graph.loss import Loss
from alignc.printers.outline import Edge, Outline, Vertex, outline

__all__ = ["drawing"]

CHARACTER, HEIGHT, TALL = 7.4, 34, 52
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
    boxes = _boxes(drawn)
    width = max(b.x + b.width for b in boxes.values()) + MARGIN
    height = max(b.y + b.height for b in boxes.values()) + MARGIN
    lines = [_line(e, boxes) for e in drawn.edges]
    shapes = [_shape(v, boxes[v.key]) for v in drawn.vertices]
    head = (
        f'<svg class="graph" role="img" aria-label="graph of the loss" viewBox="0 0 {width:.0f} {height:.0f}"'
    )
    least = f' style="min-width:{min(width, max(0.6 * width, 640)):.0f}px"'
    size = f' width="{width:.0f}" height="{height:.0f}"{least} xmlns="http://www.w3.org/2000/svg">'
    return "\n".join([head + size, *lines, *shapes, "</svg>"])


def _boxes(drawn: Outline) -> dict[str, Box]:
    """Place the vertices: in columns by how much is computed before them, each column centred."""
    columns = _columns(drawn)
    heights = [sum(_height(v) for v in c) + GAP_Y * (len(c) - 1) for c in columns]
    placed: dict[str, Box] = {}
    x = float(MARGIN)
    for column, height in zip(columns, heights, strict=True):
        width = max(_width(v) for v in column)
        y = MARGIN + (max(heights) - height) / 2
        for vertex in _ordered(column, drawn.edges, placed):
            placed[vertex.key] = Box(x, y, width, _height(vertex))
            y += _height(vertex) + GAP_Y
        x += width + GAP_X
    return placed


def _columns(drawn: Outline) -> list[list[Vertex]]:
    level: dict[str, int] = {}
    for vertex in drawn.vertices:
        before = [level[e.start] for e in drawn.edges if e.end == vertex.key]
        level[vertex.key] = max(before, default=-1) + 1
    return [[v for v in drawn.vertices if level[v.key] == n] for n in range(max(level.values()) + 1)]


def _ordered(column: list[Vertex], edges: tuple[Edge, ...], placed: Mapping[str, Box]) -> list[Vertex]:
    """Order a column by the middle of what flows into each box, so that few lines cross."""

    def middle(vertex: Vertex) -> float:
        found = [placed[e.start].y + placed[e.start].height / 2 for e in edges if e.end == vertex.key]
        return sum(found) / len(found) if found else 0.0

    return sorted(column, key=middle)


def _short(formula: str) -> str:
    return formula if len(formula) <= LONGEST else formula[: LONGEST - 1] + "…"


def _width(vertex: Vertex) -> float:
    return CHARACTER * max(len(vertex.title), len(_short(vertex.formula))) + 24


def _height(vertex: Vertex) -> int:
    return TALL if vertex.formula else HEIGHT


def _line(edge: Edge, boxes: Mapping[str, Box]) -> str:
    start, end = boxes[edge.start], boxes[edge.end]
    x1, y1, x2, y2 = start.x + start.width, start.y + start.height / 2, end.x, end.y + end.height / 2
    bend = max(24.0, (x2 - x1) / 2)
    style = "edge stopped" if edge.stopped else "edge"
    path = f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2 - 7:.1f} {y2:.1f}"
    head = f"M{x2 - 8:.1f} {y2 - 4:.1f}L{x2:.1f} {y2:.1f}L{x2 - 8:.1f} {y2 + 4:.1f}Z"
    return f'<path class="{style}" d="{path}"/><path class="head" d="{head}"/>'


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

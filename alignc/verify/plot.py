"""Draw curves as SVG, by hand: two axes, a line a curve, a legend."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from alignc.verify.report import Curve

__all__ = ["svg"]

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, RIGHT = 720, 420, 64, 56, 48, 24
COLORS = ("#1f5fa8", "#c2410c", "#15803d", "#7c3aed")


def svg(title: str, curves: Sequence[Curve]) -> str:
    """Draw curves over what they are over, a panel each; the vertical axis starts at 0."""
    panels = {over: [c for c in curves if c.over == over] for over in dict.fromkeys(c.over for c in curves)}
    height = HEIGHT * max(1, len(panels))
    size = f'viewBox="0 0 {WIDTH} {height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="16">{html.escape(title)}</text>',
    ]
    for index, (over, shown) in enumerate(panels.items()):
        lines += [f'<g transform="translate(0 {HEIGHT * index})">', *_lines(over, shown), "</g>"]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _lines(over: str, curves: Sequence[Curve]) -> Iterator[str]:
    top = max((v for c in curves for v in c.values), default=1.0) or 1.0
    steps = max((len(c.values) - 1 for c in curves), default=1) or 1
    yield from _axes(over, top, steps)
    for index, curve in enumerate(curves):
        yield from _curve(curve, COLORS[index % len(COLORS)], index, top, steps)


def _x(step: float, steps: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * step / steps


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top


def _axes(over: str, top: float, steps: int) -> Iterator[str]:
    yield f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#444"/>'
    for part in (0, 0.25, 0.5, 0.75, 1):
        y = _y(part * top, top)
        yield f'<path d="M{LEFT - 4} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{part * top:.2g}</text>'
        x = _x(part * steps, steps)
        yield f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{round(part * steps)}</text>'
    words = html.escape(over)
    yield f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">{words}</text>'


def _curve(curve: Curve, color: str, index: int, top: float, steps: int) -> Iterator[str]:
    points = " ".join(f"{_x(i, steps):.1f},{_y(v, top):.1f}" for i, v in enumerate(curve.values))
    yield f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>'
    x = LEFT + 12 + 220 * index
    yield f'<path d="M{x} 40h22" stroke="{color}" stroke-width="3"/>'
    yield f'<text x="{x + 28}" y="44">{html.escape(curve.name)}</text>'

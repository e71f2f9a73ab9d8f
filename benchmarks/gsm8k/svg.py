"""Draw charts: methods side by side, and the curves of online runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Panel", "Series", "chart", "curves"]

ROW, TOP = 30, 56
BAR, DOTS, LENGTHS = 80, 480, 680
GREEN, RED, BLUE, GREY = "#1b7837", "#b2182b", "#5b8db8", "#777"
COLORS = ("#1f5fa8", "#d1495b", "#2f9e6e")


def chart(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw a line for each method: the share of rightly ranked pairs, the shift of log π, and the answers' length."""
    base = rows[0]
    shifts = [(r["chosen"] - base["chosen"], r["rejected"] - base["rejected"]) for r in rows]
    reach = max(1.0, *(abs(x) for pair in shifts for x in pair))
    height = TOP + ROW * len(rows) + 10
    words = [
        text(BAR, 20, "held-out pairs that π/π_SFT ranks rightly"),
        text(BAR, 38, "0 to 100 %, dashed: chance", GREY),
        text(DOTS - 90, 20, "log π since SFT, nat"),
        text(DOTS - 90, 38, "chosen", GREEN) + text(DOTS - 40, 38, "rejected", RED),
        text(DOTS + 20, 38, f"edges ±{reach:.0f}", GREY),
        text(LENGTHS - 60, 20, "answers, greedy"),
        text(LENGTHS - 60, 38, "mean tokens", GREY),
    ]
    rules = [
        rule(BAR + 100, TOP - 8, BAR + 100, height - 10, dashed=True),
        rule(DOTS, TOP - 8, DOTS, height - 10),
    ]
    lines = [method(TOP + ROW * i, row, shifts[i], reach) for i, row in enumerate(rows)]
    return page(760, height, [*words, *lines, *rules])


def method(y: int, row: Mapping[str, Any], shift: tuple[float, float], reach: float) -> str:
    share, middle = row["reward_accuracy"], y + 13
    dots = [
        circle(DOTS + x * 90 / reach, middle - 5, 5, color)
        for x, color in zip(shift, (GREEN, RED), strict=True)
    ]
    bar = [] if share is None else [box(BAR, y, 200 * share, 16, BLUE)]
    words = "–" if share is None else f"{share:.1%}"
    return "".join(
        [
            text(8, middle, row["method"]),
            *bar,
            text(BAR + 206, middle, words),
            *dots,
            box(LENGTHS - 60, y, row["length"] / 2, 16, "#c9b37e"),
            text(LENGTHS - 54 + row["length"] / 2, middle, f"{row['length']:.0f}"),
        ]
    )


@dataclass(frozen=True)
class Series:
    """A run's curve: points of (step, value) as it was trained, and on held-out prompts."""

    name: str
    training: Sequence[tuple[float, float]]
    held_out: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """The curves over the steps in one frame."""

    title: str
    series: Sequence[Series]


WIDTH, HEIGHT, PAD = 360, 220, 44


def curves(panels: Sequence[Panel]) -> str:
    """Draw panels two in a row: rollouts as faint lines, held-out prompts as dots on a strong one."""
    names = [each.name for each in panels[0].series]
    legend = [
        box(20 + 150 * i, 8, 14, 10, COLORS[i]) + text(40 + 150 * i, 18, name) for i, name in enumerate(names)
    ]
    note = text(20 + 150 * len(names), 18, "faint: rollouts; dots: held-out prompts", GREY)
    drawn = [frame(panel, WIDTH * (i % 2), 30 + HEIGHT * (i // 2)) for i, panel in enumerate(panels)]
    return page(2 * WIDTH, 30 + HEIGHT * ((len(panels) + 1) // 2), [*legend, note, *drawn])


def frame(panel: Panel, left: float, top: float) -> str:
    points = [p for each in panel.series for p in (*each.training, *each.held_out)]
    end = max(x for x, _ in points)
    low, high = bounds([y for _, y in points])

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x, y = point
        across, up = x / end, (y - low) / (high - low)
        return left + PAD + across * (WIDTH - PAD - 16), top + HEIGHT - 30 - up * (HEIGHT - 66)

    corner, far = place((0, low)), place((end, high))
    marks = [
        text(corner[0] - 6, place((0, y))[1] + 4, short(y), GREY, "end")
        for y in (low, (low + high) / 2, high)
    ]
    steps = [text(place((x, low))[0], corner[1] + 16, f"{x:.0f}", GREY, "middle") for x in (0, end / 2, end)]
    lines = [
        path([place(p) for p in points], COLORS[i], opacity)
        for i, each in enumerate(panel.series)
        for points, opacity in ((each.training, 0.35), (each.held_out, 1.0))
    ]
    dots = [circle(*place(p), 3.5, COLORS[i]) for i, each in enumerate(panel.series) for p in each.held_out]
    axes = [
        rule(corner[0], corner[1], far[0], corner[1]),
        rule(corner[0], corner[1], corner[0], far[1]),
        text(left + PAD, top + 20, panel.title),
    ]
    return "".join([*axes, *marks, *steps, *lines, *dots])


def bounds(values: Sequence[float]) -> tuple[float, float]:
    """Widen the range of values a little; without a range, 0 stays at the bottom."""
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 1.0
    return (0.0 if 0 <= low < high / 4 or low == high == 0 else low - room), high + room


def short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 20 else f"{value:.2g}"


def page(width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        ' font-family="sans-serif" font-size="13">'
        f'<rect width="{width}" height="{height}" fill="white"/>' + "".join(parts) + "</svg>\n"
    )


def text(x: float, y: float, words: str, fill: str = "#222", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{fill}" text-anchor="{anchor}">{words}</text>'


def box(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"/>'


def circle(x: float, y: float, radius: float, fill: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="{fill}"/>'


def rule(x1: float, y1: float, x2: float, y2: float, *, dashed: bool = False) -> str:
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#999"{dashes}/>'


def path(points: Sequence[tuple[float, float]], color: str, opacity: float) -> str:
    pairs = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{pairs}" fill="none" stroke="{color}" stroke-width="2" opacity="{opacity}"/>'

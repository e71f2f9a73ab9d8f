"""Curves as inline SVG: a small chart a metric, all runs in it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from alignc.report.read import Run

__all__ = ["COLORS", "Line", "chart", "metrics_of", "number", "ticks"]

COLORS = 8
WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 26
POINTS = 240
FIRST = (
    "loss",
    "objective/scores",
    "objective/kl",
    "objective/rlhf_reward",
    "rewards/margins",
    "rewards/accuracies",
    "rewards/chosen",
    "rewards/rejected",
    "kl",
)
NOT_DRAWN = {"step", "epoch", "num_tokens", "rollout"}
LAST = ("grad_norm", "learning_rate")
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A curve: its points, its run's colour, whether it is of held-out rows, and whether its points stand alone."""

    name: str
    points: Points
    color: int
    held_out: bool = False
    dots: bool = False


def metrics_of(runs: Sequence[Run]) -> list[str]:
    """List what can be drawn: the loss, reward and KL side by side, then the rest; held-out values with their own."""
    names = {name for run in runs for row in run.metrics for name in row if run.series(name)} - NOT_DRAWN
    plain = {name.removeprefix("eval_") for name in names}
    order = {name: index for index, name in enumerate(FIRST)}
    late = {name: index + 1 for index, name in enumerate(LAST)}
    return sorted(plain, key=lambda name: (late.get(name, 0), order.get(name, len(FIRST)), name))


def lines_of(runs: Sequence[Run], metric: str) -> Iterator[Line]:
    """Give a metric's curves, in training and on held-out rows."""
    for index, run in enumerate(runs):
        for name, held_out in ((metric, False), (f"eval_{metric}", True)):
            if points := run.series(name):
                yield Line(run.name, points, index % COLORS, held_out)


def chart(title: str, lines: Sequence[Line], *, across: str = "step", start: float | None = None) -> str:
    """Draw curves as one SVG; `start` marks the value that the first step must have."""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points] + ([start] if start is not None else [])
    (x0, x1), (y0, y1) = _range(xs, pad=0), _range(ys, pad=0.06)

    def place(x: float, y: float) -> tuple[float, float]:
        across_, up = (x - x0) / (x1 - x0), (y - y0) / (y1 - y0)
        return LEFT + across_ * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)} by {escape(across)}">'
    ]
    for y in ticks(y0, y1):
        _, at = place(x0, y)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 3.5:.1f}" text-anchor="end">{number(y)}</text>')
    for x in ticks(x0, x1):
        at, _ = place(x, y0)
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - 8}" text-anchor="middle">{number(x)}</text>')
    if start is not None:
        at_x, at_y = place(x0, start)
        parts.append(f'<circle class="start" cx="{at_x:.1f}" cy="{at_y:.1f}" r="4"><title>must start at '
                     f"{number(start)}</title></circle>")  # fmt: skip
    parts += [part for line in lines for part in _drawn(line, place)]
    return "".join([*parts, "</svg>"])


def _drawn(line: Line, place: object) -> Iterator[str]:
    kind = f"c{line.color}" + (" held" if line.held_out else "")
    shown = [place(x, y) for x, y in thinned(line.points)]  # type: ignore[operator]
    told = f"<title>{escape(line.name)}{', held out' if line.held_out else ''}: {number(line.points[-1][1])}</title>"
    if len(shown) > 1 and not line.dots:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in shown)
        yield f'<polyline class="{kind}" points="{path}">{told}</polyline>'
    if len(shown) == 1 or line.dots or (line.held_out and len(shown) <= 40):
        for x, y in shown:
            yield f'<circle class="{kind} dot" cx="{x:.1f}" cy="{y:.1f}" r="3">{told}</circle>'


def thinned(points: Points) -> Points:
    """Average neighbours where there are more points than a chart can show."""
    if len(points) <= POINTS:
        return points
    size = math.ceil(len(points) / POINTS)
    parts = [points[at : at + size] for at in range(0, len(points), size)]
    return [(sum(x for x, _ in p) / len(p), sum(y for _, y in p) / len(p)) for p in parts]


def _range(values: Sequence[float], pad: float) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=1.0)
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        room = abs(low) * 0.1 or 1.0
        return low - room, high + room
    return low - pad * (high - low), high + pad * (high - low)


def ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Choose round numbers in a range: steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [
        round(i * step, 12 - math.floor(math.log10(step)))
        for i in range(first, math.floor(high / step + 1e-9) + 1)
    ]


def number(value: float) -> str:
    """Write a number with four digits at the most."""
    if value == 0:
        return "0"
    if abs(value) >= 1e5 or abs(value) < 1e-3:
        return f"{value:.2g}".replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")
    return f"{value:.4g}"

"""A small chart: for each method the change of both log-probabilities, and its preference accuracy."""

from __future__ import annotations

from typing import Any

WIDTH, ROW, LEFT = 720, 34, 90


def chart(rows: list[dict[str, Any]]) -> str:
    """Draw a row a method: accuracy as a bar, log-probabilities of chosen and rejected as dots, relative to SFT."""
    base = rows[0]
    shifts = [(r["chosen"] - base["chosen"], r["rejected"] - base["rejected"]) for r in rows]
    reach = max(1.0, *(abs(x) for pair in shifts for x in pair))
    body = [line(i, r, shifts[i], reach) for i, r in enumerate(rows)]
    height = ROW * (len(rows) + 2)
    middle = 250 + LEFT + 180
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        ' font-family="sans-serif" font-size="13">'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>'
        f'<text x="{LEFT}" y="22">preference accuracy, held-out</text>'
        f'<text x="{middle - 170}" y="22">log π since SFT: <tspan fill="#1b7837">chosen</tspan>, '
        f'<tspan fill="#b2182b">rejected</tspan> (±{reach:.0f} nat)</text>'
        f'<line x1="{middle}" y1="{ROW}" x2="{middle}" y2="{height - 10}" stroke="#999"/>'
        + "".join(body)
        + "</svg>\n"
    )


def line(index: int, row: dict[str, Any], shift: tuple[float, float], reach: float) -> str:
    y = ROW * (index + 1) + 20
    middle, scale = 250 + LEFT + 180, 160 / reach
    dots = "".join(
        f'<circle cx="{middle + x * scale:.1f}" cy="{y - 4}" r="5" fill="{color}"/>'
        for x, color in zip(shift, ("#1b7837", "#b2182b"), strict=True)
    )
    return (
        f'<text x="8" y="{y}">{row["method"]}</text>'
        f'<rect x="{LEFT}" y="{y - 13}" width="{230 * row["accuracy"]:.1f}" height="16" fill="#5b8db8"/>'
        f'<text x="{LEFT + 6}" y="{y}" fill="white">{row["accuracy"]:.1%}</text>' + dots
    )

"""Write an explanation as a page: self-contained, without scripts, in light and dark."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from alignc.claims.render import Line, as_html
from alignc.explain.latex import Formulas, formulas
from alignc.explain.model import Explanation
from alignc.explain.show import parts, shown_value
from alignc.lower.loss import Loss
from alignc.printers.drawing import drawing
from alignc.printers.mathml import mathml
from alignc.printers.tex import mathematics

__all__ = ["page"]

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1c2430; --quiet: #5b6675; --line: #d9dee5;
  --panel: #f6f8fa; --policy: #dbeafe; --policy-line: #1d4ed8; --reference: #eceff3; --reference-line: #6b7280;
  --data: #fef3c7; --data-line: #b45309; --value: #ffffff; --value-line: #64748b;
  --loss: #dcfce7; --loss-line: #15803d; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181f; --ink: #e6e9ee; --quiet: #9aa5b4; --line: #333c48; --panel: #1b212a;
    --policy: #1a2f55; --policy-line: #7aa7f7; --reference: #2a313c; --reference-line: #9aa5b4;
    --data: #43330f; --data-line: #e0a84a; --value: #1b212a; --value-line: #8c98a8;
    --loss: #133a24; --loss-line: #5fc98b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0; }
section { display: grid; grid-template-columns: 7.5rem minmax(0, 1fr); gap: .2rem 1.2rem; padding: .8rem 0;
  border-top: 1px solid var(--line); }
section.wide { display: block; padding-bottom: 1.1rem; }
h2 { font-size: 1rem; margin: .15rem 0 0; }
section.wide h2 { margin-bottom: .7rem; }
@media (max-width: 40rem) { section { display: block; } }
p { margin: .15rem 0 .35rem; overflow-wrap: anywhere; }
.source { color: var(--quiet); margin-top: .3rem; }
.main-formula { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; margin: 1.4rem 0 1rem;
  padding: 1.1rem 1rem; overflow-x: auto; font-size: 1.3rem; }
.main-formula math + math { margin-top: .6em; }
.scroll { overflow-x: auto; }
math { font-size: 1.08em; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .38rem 1rem .38rem 0; border-bottom: 1px solid var(--line);
  vertical-align: baseline; }
th { color: var(--quiet); font-weight: 500; font-size: .85rem; }
tr:last-child td { border-bottom: 0; }
td.note { color: var(--quiet); }
code { font: .92em ui-monospace, "DejaVu Sans Mono", Menlo, monospace; overflow-wrap: anywhere; }
td code { overflow-wrap: normal; white-space: nowrap; }
@media (max-width: 40rem) { tr:has(td.note) td { display: block; border-bottom: 0; padding-block: .2rem; } }
ul { margin: .1rem 0 .3rem; padding-left: 1.2rem; }
li { overflow-wrap: anywhere; }
svg.graph { display: block; max-width: 100%; height: auto; }
.left math { display: inline math; math-style: normal; }
.left { display: block; padding: .25rem 0; }
.graph text { fill: var(--ink); font: 13px ui-monospace, "DejaVu Sans Mono", Menlo, monospace; }
.graph text.title { font-weight: 600; }
.graph text.formula { fill: var(--quiet); font-size: 12px; }
.edge { fill: none; stroke: var(--value-line); stroke-width: 1.4; }
.edge.stopped { stroke-dasharray: 5 4; }
.head { fill: var(--value-line); }
.box rect { stroke-width: 1.3; }
.policy rect { fill: var(--policy); stroke: var(--policy-line); }
.reference rect { fill: var(--reference); stroke: var(--reference-line); }
.data rect { fill: var(--data); stroke: var(--data-line); }
.value rect { fill: var(--value); stroke: var(--value-line); }
.loss rect { fill: var(--loss); stroke: var(--loss-line); }
.key { color: var(--quiet); font-size: .85rem; }
"""
KEY = "Blue: the policy. Grey: models that are not trained. Yellow: the data. A dashed line carries no gradient."


def page(explained: Explanation, loss: Loss) -> str:
    """Write the page. Each text of the spec is escaped; the page loads no resource and runs no script."""
    title = escape(f"{explained.name}: {explained.title}")
    body = "\n".join(_body(explained, formulas(loss), loss))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _body(e: Explanation, shown: Formulas, loss: Loss) -> Iterator[str]:
    yield f"<h1>{escape(e.title)}</h1>"
    yield f'<p class="source"><code>{escape(e.name)}</code>{f" · {escape(e.paper)}" if e.paper else ""}</p>'
    drawn = "".join(mathml(line, block=True) for line in (shown.loss, *shown.losses))
    yield f'<div class="main-formula" title="{escape(" ".join([e.formula, *e.losses]))}">{drawn}</div>'
    yield from _where(shown)
    yield from _values(e)
    yield '<section class="wide"><h2>graph</h2>'
    yield f'<div class="scroll">{drawing(loss)}</div>\n<p class="key">{KEY}</p></section>'
    for label, lines in parts(e):
        if lines:
            yield f"<section><h2>{escape(label)}</h2><div>"
            yield from _lines(lines)
            yield "</div></section>"


def _where(shown: Formulas) -> Iterator[str]:
    yield '<div class="scroll"><table>'
    for (symbol, definition), note in zip(shown.where, shown.notes, strict=True):
        yield f'<tr><td>{mathml(f"{symbol} = {definition}")}</td><td class="note">{escape(note)}</td></tr>'
    yield "</table></div>"


def _values(e: Explanation) -> Iterator[str]:
    if not e.values:
        return
    yield '<section class="wide"><h2>values</h2>\n<div class="scroll"><table>'
    yield "<tr><th>symbol</th><th>value</th><th>unit</th><th>field</th><th>from</th></tr>"
    for v in e.values:
        cells = (shown_value(v.value), v.unit, v.field, v.origin)
        yield (
            f"<tr><td>{mathml(mathematics(v.symbol))}</td>"
            + "".join(f"<td><code>{escape(c)}</code></td>" for c in cells)
            + "</tr>"
        )
    yield "</table></div></section>"


def _lines(lines: Sequence[str | Line]) -> Iterator[str]:
    shown = [as_html(line) if isinstance(line, tuple) else escape(line) for line in lines]
    if len(shown) == 1:
        yield f"<p>{shown[0]}</p>"
        return
    yield "<ul>" + "".join(f"<li>{line}</li>" for line in shown) + "</ul>"

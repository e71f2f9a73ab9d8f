"""The look of a report, light and dark, wide and narrow."""

from __future__ import annotations

from alignc.report.curves import COLORS

__all__ = ["STYLE"]

LIGHT = ("#0072b2", "#d55e00", "#009e73", "#b0579a", "#8a6d00", "#4b8fc4", "#7a7a7a", "#a3121f")
DARK = ("#5ab4f0", "#ff9a4d", "#3fd1a3", "#e19ccb", "#e0c040", "#9fd0f5", "#b0b0b0", "#ff7f86")
"""After Okabe and Ito: told apart by readers with any colour vision."""

BASE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2430; --quiet: #5b6675; --line: #d9dee5; --panel: #f6f8fa;
  --bad: #b3261e; LIGHT }
@media (prefers-color-scheme: dark) { :root { --paper: #14181f; --ink: #e6e9ee; --quiet: #9aa5b4; --line: #333c48;
  --panel: #1b212a; --bad: #ff8a80; DARK } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 74rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
.quiet { color: var(--quiet); font-size: .85rem; }
p.quiet { margin: 0 0 .7rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
td, th { text-align: left; padding: .35rem 1.2rem .35rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { color: var(--quiet); font-weight: 500; font-size: .85rem; vertical-align: bottom; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.bad { color: var(--bad); font-weight: 600; }
.overview { width: 100%; }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .5rem;
  vertical-align: -.05rem; }
.finding { border-left: 4px solid var(--bad); background: var(--panel); padding: .6rem .9rem; margin: 1rem 0;
  overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: .6rem .7rem .3rem; }
figcaption { font-size: .9rem; font-weight: 600; display: flex; justify-content: space-between; gap: 1rem;
  flex-wrap: wrap; }
figcaption .quiet { font-weight: 400; font-variant-numeric: tabular-nums; }
figure svg { display: block; width: 100%; height: auto; margin-top: .3rem; }
svg text { fill: var(--quiet); font: 11px system-ui, sans-serif; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
svg polyline.held { stroke-dasharray: 5 3; }
svg .start { fill: var(--panel); stroke: var(--quiet); stroke-width: 1.4; }
.formula { background: var(--panel); border: 1px solid var(--line); border-radius: 8px; padding: .9rem 1rem; }
.formula math { font-size: 1.2rem; }
.formula pre { margin: .6rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere;
  font: .85rem/1.5 ui-monospace, Menlo, monospace; }
.rollouts { width: 100%; }
.rollouts td.text { white-space: pre-wrap; overflow-wrap: anywhere; min-width: 9rem; font-size: .92rem; }
.cut { color: var(--bad); font-size: .75rem; border: 1px solid currentColor; border-radius: 3px; padding: 0 .25rem; }
.settings { width: 100%; font-size: .9rem; }
.settings td { overflow-wrap: anywhere; }
.settings td:first-child { white-space: nowrap; }
code { font: .92em ui-monospace, "DejaVu Sans Mono", Menlo, monospace; overflow-wrap: anywhere; }
details { margin-top: .8rem; }
summary { cursor: pointer; color: var(--quiet); }
@media (max-width: 40rem) { main { padding: 1.2rem .9rem 3rem; } td, th { padding-right: .8rem; }
  .settings td:first-child { white-space: normal; } }
"""


def _variables(colors: tuple[str, ...]) -> str:
    return " ".join(f"--c{index}: {color};" for index, color in enumerate(colors))


def _classes() -> str:
    rule = "svg .cN { stroke: var(--cN); } svg .cN.dot { fill: var(--cN); } .kN { background: var(--cN); }"
    return "\n".join(rule.replace("N", str(index)) for index in range(COLORS))


STYLE = BASE.replace("LIGHT", _variables(LIGHT)).replace("DARK", _variables(DARK)) + _classes() + "\n"

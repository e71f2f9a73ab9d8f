"""The report as one page: inline SVG, no scripts, no loaded resources, and each text escaped."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from alignc.printers.mathml import mathml
from alignc.report.curves import COLORS, Line, chart, lines_of, metrics_of, number
from alignc.report.read import Run
from alignc.report.style import STYLE

__all__ = ["page"]

POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(runs: Sequence[Run]) -> str:
    """Write the page of one run, or of several runs in the same charts."""
    title = escape(", ".join(run.name for run in runs))
    body = "\n".join(part for part in _body(runs))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _body(runs: Sequence[Run]) -> Iterator[str]:
    yield f"<h1>{escape(runs[0].name) if len(runs) == 1 else f'{len(runs)} runs'}</h1>"
    yield from _overview(runs)
    yield from _findings(runs)
    yield from _curves(runs)
    yield from _formulas(runs)
    yield from _rollouts(runs)
    yield from _settings(runs)


def _overview(runs: Sequence[Run]) -> Iterator[str]:
    yield '<div class="scroll"><table class="overview"><tr><th>run</th><th>state</th><th class="n">steps</th>'
    shown = [m for m in ("loss", "eval_loss", *_telling(runs)) if any(r.last(m) is not None for r in runs)]
    yield "".join(f'<th class="n">{escape(_named(metric))}</th>' for metric in shown)
    yield '<th class="n">time in steps</th></tr>'
    for index, run in enumerate(runs):
        values = "".join(f'<td class="n">{_value(run.last(metric))}</td>' for metric in shown)
        state = "bad" if run.state.startswith("failed") else ""
        yield (
            f'<tr><td><span class="key k{index % COLORS}"></span>{escape(run.name)}'
            f'<div class="quiet">{escape(str(run.folder))}</div></td><td class="{state}">{escape(run.state)}</td>'
            f'<td class="n">{run.step}</td>{values}<td class="n">{_time(run.seconds)}</td></tr>'
        )
    yield "</table></div>"


def _telling(runs: Sequence[Run]) -> list[str]:
    """List the metrics that judge a method."""
    known = (
        "objective/scores",
        "objective/kl",
        "eval_rewards/accuracies",
        "eval_objective/scores",
        "eval_win_rate",
    )
    return [metric for metric in known if any(run.series(metric) for run in runs)]


def _named(metric: str) -> str:
    return f"{metric.removeprefix('eval_')}, held out" if metric.startswith("eval_") else metric


def _value(value: float | None) -> str:
    return "–" if value is None else escape(number(value))


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _findings(runs: Sequence[Run]) -> Iterator[str]:
    for run in runs:
        for found in run.status.get("diagnostics") or ():
            if isinstance(found, dict):
                title = f"{found.get('severity')}[{found.get('code')}]"
                yield f'<div class="finding"><b>{escape(title)}</b> {escape(run.name)}: '
                yield escape(str(found.get("message")))
                for word in ("why", "help"):
                    if found.get(word):
                        yield f'<div class="quiet">{word}: {escape(str(found[word]))}</div>'
                yield "</div>"


def _curves(runs: Sequence[Run]) -> Iterator[str]:
    names = metrics_of(runs)
    if not names:
        yield '<p class="quiet">No step is recorded yet.</p>'
        return
    yield "<h2>Curves</h2>"
    yield '<p class="quiet">Solid lines show training rows before the update of each step. '
    yield "Dots and dashed lines show held-out rows. A ring marks the required start value. "
    yield "The number is the last value.</p>"
    yield '<div class="charts">'
    for metric in names:
        yield _figure(
            metric, chart(metric, list(lines_of(runs, metric)), start=_start(runs, metric)), runs, metric
        )
        if metric == "objective/kl":
            yield from _frontier_figure(runs)
    yield "</div>"


def _frontier_figure(runs: Sequence[Run]) -> Iterator[str]:
    """Draw the reward of each run against its KL to the reference."""
    lines = [line for line in _frontier(runs) if line.points]
    if lines:
        drawn = chart("reward against KL", lines, across="objective/kl")
        yield '<figure><figcaption>objective/scores <span class="quiet">across: objective/kl</span></figcaption>'
        yield f"{drawn}</figure>"


def _figure(title: str, drawn: str, runs: Sequence[Run], metric: str) -> str:
    last = runs[0].last(metric), runs[0].last(f"eval_{metric}")
    told = [number(last[0])] if last[0] is not None else []
    told += [f"● {number(last[1])}"] if last[1] is not None else []
    value = f'<span class="quiet">{escape(" · ".join(told))}</span>' if len(runs) == 1 else ""
    return f"<figure><figcaption>{escape(title)} {value}</figcaption>{drawn}</figure>"


def _start(runs: Sequence[Run], metric: str) -> float | None:
    """Return the required value of the first step, if all runs agree on it."""
    known = {(run.job.get("plan") or {}).get("step0", {}).get(metric) for run in runs}
    only = known.pop() if len(known) == 1 else None
    return float(only) if only is not None else None


def _frontier(runs: Sequence[Run]) -> Iterator[Line]:
    for index, run in enumerate(runs):
        scores = dict(run.series("objective/scores"))
        points = [(kl, scores[step]) for step, kl in run.series("objective/kl") if step in scores]
        yield Line(run.name, list(dict.fromkeys(points)), index % COLORS, dots=True)


def _formulas(runs: Sequence[Run]) -> Iterator[str]:
    shown = {json.dumps(run.job.get("formula")): run for run in runs if run.job.get("formula")}
    if shown:
        yield "<h2>Loss</h2>"
    for run in shown.values():
        name = f'<p class="quiet">{escape(run.name)}</p>' if len(shown) > 1 else ""
        yield f'{name}<div class="formula scroll">{_formula(run.job["formula"])}</div>'


def _formula(formula: Mapping[str, Any]) -> str:
    lines = str(formula.get("text") or "").split("\n")
    try:
        latex = str(formula["latex"]).split(
            r" \\ "
        )  # one line for the loss, and one for the loss of each term
        drawn = "".join(mathml(line, block=True) for line in latex)
    except Exception:  # what a converter raises for a text that is not its own
        drawn = ""
    rest = [line for line in lines if not re.match(r"L\S* = ", line)] if drawn else lines
    return drawn + f'<pre class="quiet">{escape(chr(10).join(rest))}</pre>'


def _rollouts(runs: Sequence[Run]) -> Iterator[str]:
    for run in runs:
        if not run.rollouts:
            continue
        yield f"<h2>Last responses{f' of {escape(run.name)}' if len(runs) > 1 else ''}</h2>"
        worth = [name for name in ("reward", "win_rate") if any(name in row for row in run.rollouts)]
        heads = "".join(f'<th class="n">{name.replace("_", " ")}</th>' for name in worth)
        yield '<div class="scroll"><table class="rollouts"><tr><th class="n">rollout</th>'
        yield f"<th>prompt</th><th>completion</th>{heads}</tr>"
        yield from (_response(row, worth) for row in run.rollouts)
        yield "</table></div>"


def _response(row: Mapping[str, Any], worth: Sequence[str]) -> str:
    cut = "" if row.get("ended", True) else ' <span class="cut">cut</span>'
    cells = "".join(f'<td class="n">{_reward(row.get(name))}</td>' for name in worth)
    prompt, completion = (escape(visible(str(row.get(key, "")))) for key in ("prompt", "completion"))
    number_ = escape(str(row.get("rollout", "–")))
    said = f'<td class="text">{prompt}</td><td class="text">{completion}{cut}</td>'
    return f'<tr><td class="n">{number_}</td>{said}{cells}</tr>'


def visible(text: str) -> str:
    """Replace characters that cannot be printed by escapes; line breaks stay."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def _reward(value: Any) -> str:
    return escape(number(float(value))) if isinstance(value, int | float) else "–"


def _settings(runs: Sequence[Run]) -> Iterator[str]:
    listed = [dict(_leaves(run.job.get("spec") or {})) for run in runs]
    if not any(listed):
        return
    yield "<h2>Settings</h2>"
    names = list(dict.fromkeys(name for one in listed for name in one))
    if len(runs) > 1:
        differ = [n for n in names if len({json.dumps(one.get(n), sort_keys=True) for one in listed}) > 1]
        yield _across(runs, listed, differ)
        return
    origins = runs[0].job.get("origins") or {}
    written = [name for name in names if not origins.get(name, "default").startswith(("default", "preset:"))]
    yield _table(written, listed[0], origins)
    rest = [name for name in names if name not in written]
    yield f"<details><summary>{len(rest)} more settings from the preset or by default</summary>"
    yield f"{_table(rest, listed[0], origins)}</details>"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}.{index}")
    else:
        yield path, value


def _table(names: Sequence[str], values: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td><code>{escape(_told(values.get(name)))}</code></td>"
        f'<td class="quiet">{escape(str(origins.get(name, "default")))}</td></tr>'
        for name in names
    )
    head = "<tr><th>setting</th><th>value</th><th>from</th></tr>"
    return f'<div class="scroll"><table class="settings">{head}{rows}</table></div>'


def _across(runs: Sequence[Run], listed: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    head = "".join(f"<th>{escape(run.name)}</th>" for run in runs)
    rows = "".join(
        f"<tr><td>{escape(name)}</td>"
        + "".join(f"<td><code>{escape(_told(one.get(name)))}</code></td>" for one in listed)
        + "</tr>"
        for name in names
    )
    note = '<p class="quiet">These settings differ between the runs.</p>'
    return f'{note}<div class="scroll"><table class="settings"><tr><th>setting</th>{head}</tr>{rows}</table></div>'


def _told(value: Any) -> str:
    return (
        "none"
        if value is None
        else value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False)
    )

"""docs/methods: a page a method, from its preset and the explanation of its smallest spec."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from alignc.api import Compiled
from alignc.checks import check
from alignc.claims.makers.titles import citation
from alignc.claims.model import Section, Slope
from alignc.claims.render import as_text, equation_text, lines
from alignc.contract.kinds import ONLINE
from alignc.docs.markdown import GENERATED, bullets, code, table
from alignc.emit.job_json import formula_latex
from alignc.explain import Explanation, explanation
from alignc.explain.show import logged_words
from alignc.load.load import load
from alignc.load.preset import Preset
from alignc.lower.lower import lower
from alignc.plan import needs
from alignc.schema.describe import parameter_text
from alignc.schema.starter import flow, smallest

__all__ = ["index_page", "method_page"]

INTRO = """\
This table lists the presets. Each has a page with its loss, its parameters and its gradient. The column `data` names
the kinds of rows that a method takes ([the spec](../spec.md) has their columns). With `prompts` and `self_play` the
policy samples its own responses ([learning online](../online.md)). The [glossary](../glossary.md) explains the terms.
"""
PARAMETERS = ("parameter", "symbol", "default", "type", "range", "unit", "meaning")


def index_page(presets: Sequence[Preset]) -> str:
    """List the methods."""
    rows = [[f"[{p.preset}]({p.preset}.md)", p.title, ", ".join(p.data), p.summary] for p in presets]
    return f"{GENERATED}\n# Methods\n\n{INTRO}\n{table(('preset', 'method', 'data', 'what it does'), rows)}"


def method_page(preset: Preset) -> str:
    """Write a method's page; raises DiagnosticError where its smallest spec does not lower."""
    compiled = _compiled(preset)
    said = compiled.explanation
    parts = [
        f"{GENERATED}\n# {preset.title} (`{preset.preset}`)\n\n{_introduction(preset)}",
        f"## Loss\n\n{_loss(compiled)}",
        f"## Parameters\n\n{_parameters(preset)}",
        f"## Gradient\n\n{bullets(_gradient(said))}",
        *(_section(said, title, section) for title, section in SECTIONS),
        f"## Models, data and scaling\n\n{bullets(_runs(said))}",
        f"## Curves\n\n{bullets(_watched(said))}",
        f"## Findings of the checks\n\n{bullets(_findings(compiled))}" if compiled.warnings else "",
        _section(said, "Deviations", Section.DEVIATIONS),
        f"## Smallest spec\n\n```yaml\n{smallest(preset)}```\n",
    ]
    return "\n".join(part for part in parts if part)


def _compiled(preset: Preset) -> Compiled:
    with TemporaryDirectory() as folder:
        spec = Path(folder) / f"{preset.preset}.yaml"
        spec.write_text(smallest(preset), "utf-8")
        loaded = load(spec)
        loss = lower(loaded.lookup)
        wanted = needs(loss, loaded.job)
        found = tuple(check(loaded, loss))
        return Compiled(loaded, loss, wanted, explanation(loaded, loss, wanted), found)


def _findings(compiled: Compiled) -> list[str]:
    return [f"[{d.code}](../diagnostics.md#{d.code.lower()}): {d.message}" for d in compiled.warnings]


def _introduction(preset: Preset) -> str:
    lines = [preset.summary]
    if preset.when:
        lines.append(f"**When to use it:** {preset.when}")
    if preset.paper:
        link = f" <https://arxiv.org/abs/{preset.paper.arxiv}>" if preset.paper.arxiv else ""
        lines.append(f"**Paper:** {citation(preset.paper)}: *{preset.paper.title}*.{link}")
    return "\n\n".join(lines) + "\n"


def _loss(compiled: Compiled) -> str:
    said = compiled.explanation
    formula = "\n".join([said.formula, *said.losses])
    where = table(
        ("symbol", "definition", "note"), [[code(w.symbol), code(w.definition), w.note] for w in said.where]
    )
    return f"```math\n{_aligned(formula_latex(compiled.loss))}\n```\n\n```text\n{formula}\n```\n\n{where}"


def _aligned(latex: str) -> str:
    """Set the lines of a formula below one another, equals sign below equals sign."""
    lines = latex.split(r" \\ ")
    if len(lines) == 1:
        return latex
    shown = " \\\\\n".join(line.replace(" = ", " &= ", 1) for line in lines)
    return f"\\begin{{aligned}}\n{shown}\n\\end{{aligned}}"


def _parameters(preset: Preset) -> str:
    if not preset.parameters:
        return "The method has no parameters.\n"
    described = [(n, parameter_text(n, p)) for n, p in preset.parameters.items()]
    rows = [
        [code(n), f.symbol, code(f.default), f.type, f.limits, f.unit, f.description] for n, f in described
    ]
    return table(PARAMETERS, rows) + _train(preset)


def _train(preset: Preset) -> str:
    sometimes = "" if set(preset.data) <= set(ONLINE) else ", if the policy makes the responses"
    sections = [("train", "", preset.train), *((name, sometimes, v) for name, v in preset.online.items())]
    given = [
        f"{', '.join(f'`{name}: {_bound(value)}`' for name, value in values.items())} under `{section}`{when}"
        for section, when, values in sections
        if values
    ]
    return f"\nThe preset also sets these defaults: {'; '.join(given)}.\n" if given else ""


def _bound(value: object) -> str:
    """Show a value as in a spec, what a parameter gives by the parameter's name."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_bound(inner)}" for key, inner in value.items()) + "}"
    return value.removeprefix("=") if isinstance(value, str) else flow(value)


SECTIONS = (
    ("The KL to the reference", Section.KL),
    ("Optimum", Section.OPTIMUM),
    ("Rollout", Section.ROLLOUT),
)


def _section(said: Explanation, title: str, section: Section) -> str:
    shown = said.said(section)
    return f"## {title}\n\n{bullets(shown)}" if shown else ""


def _gradient(said: Explanation) -> list[str]:
    rows = []
    for line in lines(said.claims, Section.GRADIENT):
        shown = as_text(line)
        if isinstance(line[0], Slope):
            equation = equation_text(line[0])
            shown = f"`{equation}`{shown.removeprefix(equation)}"
        rows.append(shown)
    return rows


def _runs(said: Explanation) -> list[str]:
    return [*said.said(Section.MODELS), f"data: {said.data}", *said.said(Section.SCALING)]


def _watched(said: Explanation) -> list[str]:
    return [
        *(f"at step 0: {line.removesuffix(': checked in the run')}" for line in said.said(Section.STEP_ZERO)),
        *(f"`{name}` {text}" for name, text in said.healthy.items()),
        f"logged: {', '.join(code(name) for name in said.metrics)}",
        *(f"{code(name)}: {text}" for name, text in logged_words(said)),
    ]

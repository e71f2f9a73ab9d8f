"""`alignc explain`: print the loss of a spec."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from alignc.api import Compiled, Mixture, built, specs_of
from alignc.cli.options import overrides, spec_argument
from alignc.cli.show import show_diagnostics
from alignc.diagnostics import Diagnostic, DiagnosticError, Span
from alignc.explain.latex import fragment
from alignc.explain.mixture import mixed_data, mixed_latex, mixed_mermaid, mixed_page, show_mixed
from alignc.explain.model import as_json
from alignc.explain.show import show
from alignc.point.evaluate import PointError, at_mixture, at_point
from alignc.printers.mermaid import mermaid

__all__ = ["command"]

_WHY = "the file of `--at` must hold JSON"
_HELP = 'write one JSON object, `{"examples": […]}`, in UTF-8, and correct the error at the given place'
FORMATS = ("text", "latex", "html", "json", "mermaid")


@click.command("explain")
@spec_argument
@overrides
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option(
    "--at",
    "point",
    type=click.Path(),
    help="Evaluate the loss and its gradient at the examples of this JSON file.",
)
def command(spec: str, overrides: Sequence[str], form: str, point: str | None) -> None:
    """Print the loss of SPEC: its formula, its values and their origins, its gradient, its models and its metrics.

    With --at, the command evaluates the loss in float64 and prints only JSON. For a pipeline, the command prints
    one stage after another.
    """
    specs = specs_of(spec) if form in ("text", "json") and not point else [spec]
    for number, each in enumerate(specs):
        compiled = built(each, overrides, files=False)
        if compiled.warnings:
            show_diagnostics(compiled.warnings, compiled.spec.document.texts)
        if form == "text" and len(specs) > 1:
            click.echo(f"{chr(10) if number else ''}── {each}")
        click.echo(_at(compiled, point) if point else _explained(compiled, form), nl=False)


def _explained(compiled: Compiled | Mixture, form: str) -> str:
    if isinstance(compiled, Mixture):
        return _mixed(compiled, form)
    if form == "text":
        return show(compiled.explanation)
    if form == "latex":
        return fragment(compiled.explanation, compiled.loss)
    if form == "html":
        from alignc.explain.html import page  # it loads MathML

        return page(compiled.explanation, compiled.loss)
    if form == "mermaid":
        return mermaid(compiled.loss)
    return json.dumps(as_json(compiled.explanation), indent=2, ensure_ascii=False) + "\n"


def _mixed(compiled: Mixture, form: str) -> str:
    explained, losses = compiled.explanation, compiled.losses
    match form:
        case "text":
            return show_mixed(explained)
        case "latex":
            return mixed_latex(explained, losses)
        case "html":
            return mixed_page(explained, losses)
        case "mermaid":
            return mixed_mermaid(losses)
    return json.dumps(mixed_data(explained), indent=2, ensure_ascii=False) + "\n"


def _at(compiled: Compiled | Mixture, file: str) -> str:
    data = _read(file)
    try:
        value = _value(compiled, data)
    except PointError as error:
        where = f" at `{error.path}`" if error.path else ""
        raise DiagnosticError(Diagnostic(error.code, f"{error}{where}", Span.at(file))) from None
    return json.dumps(value) + "\n"


def _value(compiled: Compiled | Mixture, point: Any) -> dict[str, Any]:
    if isinstance(compiled, Mixture):
        return at_mixture(compiled.losses, point)
    return at_point(compiled.loss, point)


def _read(file: str) -> Any:
    try:
        return json.loads(Path(file).read_text("utf-8"))
    except OSError:
        raise DiagnosticError(Diagnostic("E008", f"there is no file `{file}`", Span.at(file))) from None
    except json.JSONDecodeError as error:
        span = Span.at(file, error.lineno, error.colno)
        raise DiagnosticError(
            Diagnostic("E001", f"the file is not JSON: {error.msg}", span, _WHY, _HELP)
        ) from None
    except ValueError:
        message = "the file is not JSON in UTF-8"
        raise DiagnosticError(Diagnostic("E001", message, Span.at(file), _WHY, _HELP)) from None

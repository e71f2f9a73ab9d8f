"""Presets: YAML files that name a method's parameters and expand to terms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import StringConstraints, ValidationError

from alignc.diagnostics import Diagnostic, DiagnosticError, Span
from alignc.spec.base import Spec, field
from alignc.yaml.source import Source, load_source, parse_source

__all__ = ["Paper", "Parameter", "Preset", "built_in", "defaults_of", "load_preset", "preset_names"]


UnitText = Annotated[
    str, StringConstraints(pattern=r"^(1|[a-z]{1,20}(·[a-z]{1,20})*)(/[a-z]{1,20}(·[a-z]{1,20})*)?$")
]
"""`1`, `1/nat`, `nat/token`, `reward·nat`: names of base units alone, for they are shown in emitted source."""


class Parameter(Spec):
    """A preset's parameter."""

    type: Literal["number", "integer", "boolean", "choice", "axis"] = field(
        "number",
        "Type of the value; an `axis` is a part of a term, such as a `kl:` block, and may be left out.",
    )
    default: float | int | bool | str | dict[str, Any] | None = field(
        None, "Value where the spec gives none; what it gives is laid over the default of an `axis`."
    )
    choices: list[str] = field([], "The values of `type: choice`.")
    gt: float | None = field(None, "Must be above this.")
    ge: float | None = field(None, "Must be at least this.")
    lt: float | None = field(None, "Must be below this.")
    le: float | None = field(None, "Must be at most this.")
    symbol: str | None = field(
        None,
        "The paper's symbol: a letter, Latin or Greek, and what stands below it, such as λ or λ_D. "
        "Formulas show it, also those in emitted source.",
        pattern=r"^[A-Za-zΑ-ωℓ](_[A-Za-z0-9Α-ω]{1,8})?$",
    )
    unit: UnitText | dict[str, UnitText] | None = field(
        None, "Unit, such as `1/nat`; or by the value of the choice that decides it, `PARAMETER=VALUE`."
    )
    description: str = field("", "What it does.")


class Paper(Spec):
    """Where a method comes from."""

    authors: str = field(..., "Authors, as cited.")
    year: int = field(..., "Year.")
    title: str = field(..., "Title.")
    arxiv: str | None = field(None, "arXiv number.")
    where: str | None = field(None, "Equation or section of the loss.")


class Preset(Spec):
    """A method: parameters, the terms they expand to, and what a reader should know."""

    preset: str = field(..., "Its name.", pattern="^[a-z][a-z0-9_]*$")
    title: str = field(..., "Full name of the method.")
    summary: str = field(..., "One sentence: what it does.")
    when: str = field("", "When to use it.")
    paper: Paper | None = field(None, "Where it comes from.")
    data: list[str] = field(..., "Kinds of data it learns from.")
    parameters: dict[str, Parameter] = field({}, "Parameters.")
    terms: list[dict[str, Any]] = field(..., "Terms; `=EXPRESSION` refers to parameters.")
    train: dict[str, Any] = field({}, "Training defaults that differ from transformers'.")
    online: dict[Literal["data", "train"], dict[str, Any]] = field(
        {}, "Defaults where the policy makes its own responses; `=EXPRESSION` refers to parameters."
    )
    deviations: list[str] = field([], "Where this differs from the paper or from libraries of the same name.")
    healthy: dict[str, str] = field({}, "Metrics and what they look like in a healthy run.")


def preset_names() -> list[str]:
    """List the presets that alignc brings along."""
    return sorted(p.name.removesuffix(".yaml") for p in _folder().iterdir() if p.name.endswith(".yaml"))


@cache
def built_in(name: str) -> Preset:
    """Load one of alignc's own presets."""
    file = f"{name}.yaml"
    return _typed(parse_source(_folder().joinpath(file).read_text("utf-8"), f"preset:{name}"))


def load_preset(path: Path) -> tuple[Preset, Source]:
    """Load a user's own preset and its source. Raises DiagnosticError at the place of what is wrong with it."""
    source = load_source(path)
    return _typed(source), source


def _folder() -> Any:
    return resources.files("alignc.load").joinpath("presets")


def _typed(source: Source) -> Preset:
    try:
        return Preset.model_validate(source.data)
    except ValidationError as error:
        from alignc.load.check import diagnose
        from alignc.load.document import of_source

        raise DiagnosticError(diagnose(error, of_source(source), Preset)) from None


def defaults_of(preset: Preset, name: str) -> list[tuple[str, ...]]:
    """List the fields outside the objective that a parameter is the default of, as paths of the spec."""
    return [
        (section, *path) for section, values in preset.online.items() for path in _places(values, f"={name}")
    ]


def _places(values: Mapping[str, Any], wanted: str) -> Iterator[tuple[str, ...]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from ((key, *rest) for rest in _places(value, wanted))
        elif value == wanted:
            yield (key,)


def not_a_preset(name: str, span: Span) -> Diagnostic:
    """Make the diagnostic of an unknown preset."""
    from alignc.diagnostics.suggest import did_you_mean

    guess = did_you_mean(name, preset_names())
    hint = f"did you mean `{guess}`? " if guess else ""
    known = ", ".join(preset_names())
    return Diagnostic(
        "E007", f"unknown preset `{name}`", span, help=f"{hint}presets: {known}; or the path of your own"
    )

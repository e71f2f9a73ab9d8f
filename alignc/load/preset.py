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

__all__ = ["Note", "Paper", "Parameter", "Preset", "built_in", "defaults_of", "load_preset", "preset_names"]


UnitText = Annotated[
    str, StringConstraints(pattern=r"^(1|[a-z]{1,20}(·[a-z]{1,20})*)(/[a-z]{1,20}(·[a-z]{1,20})*)?$")
]
"""`1`, `1/nat`, `nat/token`, `reward·nat`: only names of base units, because emitted source shows them."""


class Parameter(Spec):
    """A parameter of a preset."""

    type: Literal["number", "integer", "boolean", "choice", "axis"] = field(
        "number",
        "Type of the value. An `axis` is a part of a term, such as a `kl:` block; it is optional.",
    )
    default: float | int | bool | str | dict[str, Any] | None = field(
        None, "Value if the spec gives none; the value of an `axis` is merged into its default."
    )
    choices: list[str] = field([], "The values of `type: choice`.")
    gt: float | None = field(None, "The value must be above this number.")
    ge: float | None = field(None, "The value must be at least this number.")
    lt: float | None = field(None, "The value must be below this number.")
    le: float | None = field(None, "The value must be at most this number.")
    symbol: str | None = field(
        None,
        "Symbol of the paper: a Latin or Greek letter with an optional index, such as λ or λ_D. "
        "Formulas show the symbol, also in emitted source.",
        pattern=r"^[A-Za-zΑ-ωℓ](_[A-Za-z0-9Α-ω]{1,8})?$",
    )
    unit: UnitText | dict[str, UnitText] | None = field(
        None,
        "Unit, such as `1/nat`; or one unit for each `PARAMETER=VALUE` of a choice that decides the unit.",
    )
    description: str = field("", "Meaning of the parameter.")


class Paper(Spec):
    """The paper of a method."""

    authors: str = field(..., "Authors, as cited.")
    year: int = field(..., "Year.")
    title: str = field(..., "Title.")
    arxiv: str | None = field(None, "arXiv number.")
    where: str | None = field(None, "Equation or section of the loss.")


class Note(Spec):
    """A sentence that is true of some specs only."""

    text: str = field(..., "The sentence; `{PATH}` stands for the value of a field of the spec.")
    applies: dict[str, Any] = field(
        {},
        "Fields by their paths, and the value with which the sentence is true; "
        "the path of a term starts with its name.",
    )
    unless: dict[str, Any] = field({}, "Fields by their paths, and the value with which it is left out.")


class Preset(Spec):
    """A method: its parameters, their terms, and notes for the reader."""

    preset: str = field(..., "Name of the preset.", pattern="^[a-z][a-z0-9_]*$")
    title: str = field(..., "Full name of the method.")
    summary: str = field(..., "One or two sentences that describe the method.")
    when: str = field("", "The situation in which the method fits.")
    paper: Paper | None = field(None, "Paper of the method.")
    data: list[str] = field(..., "Kinds of data that the method accepts.")
    parameters: dict[str, Parameter] = field({}, "Parameters.")
    terms: list[dict[str, Any]] = field(..., "Terms; `=EXPRESSION` refers to parameters.")
    train: dict[str, Any] = field({}, "Training defaults that differ from transformers'.")
    online: dict[Literal["data", "train"], dict[str, Any]] = field(
        {}, "Defaults for data whose responses the policy samples; `=EXPRESSION` refers to parameters."
    )
    deviations: list[str | Note] = field(
        [], "Differences to the paper, and to libraries with a method of this name."
    )
    healthy: dict[str, str | Note] = field({}, "Metrics, and their behaviour in a healthy run.")


def preset_names() -> list[str]:
    """List the names of the built-in presets."""
    return sorted(p.name.removesuffix(".yaml") for p in _folder().iterdir() if p.name.endswith(".yaml"))


@cache
def built_in(name: str) -> Preset:
    """Load a built-in preset."""
    file = f"{name}.yaml"
    return _typed(parse_source(_folder().joinpath(file).read_text("utf-8"), f"preset:{name}"))


def load_preset(path: Path) -> tuple[Preset, Source]:
    """Load a preset file of the user. Raises DiagnosticError with the errors at their places."""
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
    """List the paths outside the objective whose default is this parameter."""
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
        "E007",
        f"unknown preset `{name}`",
        span,
        help=f"{hint}the presets are: {known}; a preset file of your own is named by its path",
    )

"""The search for presets, and the values of their parameters in a spec."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any, assert_never

from alignc.diagnostics import Diagnostic, DiagnosticError
from alignc.load.check import missing_field, shown, unknown_field
from alignc.load.disk import is_file, real
from alignc.load.document import Document, Origin, of_source
from alignc.load.preset import Parameter, Preset, built_in, load_preset, not_a_preset, preset_names
from alignc.yaml.source import NodePath

__all__ = ["Bound", "Files", "Places", "bind", "find"]

OBJECTIVE: NodePath = ("objective",)
Places = Mapping[NodePath, Origin]
"""The origins of the values in a preset file of the user."""


Files = tuple[FilePath, ...]
"""The chain of preset files that led to this preset."""


@dataclass(frozen=True)
class Bound:
    """A parameter of a preset with its value in this spec."""

    name: str
    value: float | int | bool | str | dict[str, Any] | None
    parameter: Parameter
    origin: Origin

    def unit(self, others: dict[str, Bound]) -> str | None:
        """Return the unit, which may depend on the choice of another parameter."""
        if not isinstance(self.parameter.unit, dict):
            return self.parameter.unit
        for condition, unit in self.parameter.unit.items():
            name, _, value = condition.partition("=")
            if str(others[name].value) == value:
                return unit
        return None


def find(
    document: Document, name: Any, before: Files
) -> tuple[Preset, Places, dict[str, str], tuple[FilePath, ...]]:
    """Find a preset; return it with the origins of its values, its texts by file, and the chain of its files.

    A built-in preset has no origins and no texts.
    """
    span = document.span((*OBJECTIVE, "preset"))
    if not isinstance(name, str):
        raise DiagnosticError([Diagnostic("E003", "`preset` must be a text", span)])
    if name in preset_names():
        return built_in(name), {}, {}, before
    if not name.endswith((".yaml", ".yml")):
        raise DiagnosticError([not_a_preset(name, span)])
    path = FilePath(span.file).parent / name
    if not is_file(path):
        raise DiagnosticError(
            [
                Diagnostic(
                    "E008", f"there is no file `{name}`", span, help="paths start at the folder of the spec"
                )
            ]
        )
    if real(path) in before:
        raise DiagnosticError([Diagnostic("E001", f"`preset: {name}` leads back to this file", span)])
    preset, source = load_preset(path)
    return preset, of_source(source).origins, {source.file: source.text}, (*before, real(path))


def bind(document: Document, preset: Preset, places: Places, also: tuple[str, ...]) -> dict[str, Bound]:
    """Bind the parameters of a preset to the values of the objective or to their defaults.

    Raises DiagnosticError with all errors.

    `also` lists further fields that are allowed beside the parameters.
    """
    given = document.data["objective"]
    known = [*preset.parameters, "terms", "preset", *also]
    found = [_unknown(key, known, document) for key in given if key not in known]
    bound = {}
    for name, parameter in preset.parameters.items():
        path = (*OBJECTIVE, name)
        origin = document.origins.get(path) if name in given else places.get(("parameters", name, "default"))
        value = _over(parameter.default, given[name]) if name in given else parameter.default
        if name not in given and parameter.default is None and parameter.type != "axis":
            found.append(missing_field(path, document))
        elif problem := _wrong(name, value, parameter):
            code, message = problem
            found.append(Diagnostic(code, message, (origin and origin.span) or document.span(path)))
        else:
            bound[name] = Bound(name, value, parameter, origin or Origin(f"preset:{preset.preset}"))
    if found:
        raise DiagnosticError(found)
    return bound


def _unknown(key: str, known: list[str], document: Document) -> Diagnostic:
    """Make the E002 for an unknown parameter; for `beta` of a KL, point to the `kl:` block."""
    found = unknown_field((*OBJECTIVE, key), known, document)[0]
    block = ".".join(map(str, (*document.written(OBJECTIVE), "kl", "beta")))
    return replace(found, help=f"use `{block}`") if key == "beta" and "kl" in known else found


def _over(default: Any, given: Any) -> Any:
    """Merge a given part of a term into its default, unless the kinds of both differ."""
    same = isinstance(default, dict) and isinstance(given, dict) and given.get("kind") == default.get("kind")
    return {**default, **given} if same else given


def _wrong(name: str, value: Any, parameter: Parameter) -> tuple[str, str] | None:
    match parameter.type:
        case "axis":
            ok = not isinstance(value, (bool, list))
            words = "a choice, a mapping, or null"
        case "choice":
            ok, words = value in parameter.choices, f"one of {', '.join(parameter.choices)}"
        case "boolean":
            ok, words = isinstance(value, bool), "true or false"
        case "integer":
            ok, words = isinstance(value, int) and not isinstance(value, bool), "a whole number"
        case "number":
            ok, words = isinstance(value, (int, float)) and not isinstance(value, bool), "a number"
        case _:
            assert_never(parameter.type)
    if not ok:
        return "E003", f"`{name}` must be {words}, found {shown(value)}"
    return _out_of_range(name, value, parameter) if parameter.type in ("number", "integer") else None


def _out_of_range(name: str, value: float, parameter: Parameter) -> tuple[str, str] | None:
    if value != value or value in (float("inf"), float("-inf")):
        return "E004", f"`{name}` must be a finite number, found {value}"
    limits: tuple[tuple[str, float | None, Callable[[float, float], bool]], ...] = (
        ("above", parameter.gt, operator.gt),
        ("at least", parameter.ge, operator.ge),
        ("below", parameter.lt, operator.lt),
        ("at most", parameter.le, operator.le),
    )
    for words, limit, holds in limits:
        if limit is not None and not holds(value, limit):
            return "E004", f"`{name}` must be {words} {limit:g}, found {value}"
    return None

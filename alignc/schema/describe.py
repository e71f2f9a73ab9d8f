"""The texts about fields for `alignc describe` and docs/spec.md, from the declarations of the fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from alignc.load.preset import Parameter, built_in, preset_names
from alignc.spec.fields import field_models, members, plain, tags
from alignc.spec.job import Job
from alignc.yaml.scalars import scalar_text

__all__ = ["FieldText", "describe", "fields_below", "fields_of", "parameter_text"]


@dataclass(frozen=True)
class FieldText:
    """The texts about a field."""

    path: str
    type: str
    default: str
    limits: str
    unit: str
    symbol: str
    description: str
    children: tuple[str, ...] = ()


def describe(path: str) -> list[FieldText]:
    """Describe each field with this dotted path; the list is empty if there is no such field.

    `objective.beta` finds this parameter in all presets, `objective.dpo.beta` in the preset `dpo`, and
    `objective.kl.beta` finds a field inside the parameter `kl`, which is a part of a term.
    """
    steps = [s for s in path.split(".") if s]
    if steps[:1] == ["objective"] and len(steps) > 1:
        return [*_parameters(steps[1:]), *_fields(steps)] or _inside_parameter(steps[1:], path)
    return _fields(steps)


def _inside_parameter(steps: list[str], path: str) -> list[FieldText]:
    """Describe a field inside a parameter that is a part of a term."""
    if steps[0] in preset_names():
        steps = steps[1:]
    axes = {n for p in preset_names() for n, q in built_in(p).parameters.items() if q.type == "axis"}
    found = _fields(["objective", "terms", *steps]) if len(steps) > 1 and steps[0] in axes else []
    return [replace(f, path=path) for f in found]


def _parameters(steps: list[str]) -> list[FieldText]:
    presets = [steps[0]] if len(steps) == 2 else preset_names() if len(steps) == 1 else []
    known = [built_in(p) for p in presets if p in preset_names()]
    return [
        parameter_text(f"objective.{p.preset}.{steps[-1]}", p.parameters[steps[-1]])
        for p in known
        if steps[-1] in p.parameters
    ]


def parameter_text(path: str, p: Parameter) -> FieldText:
    """Describe a parameter of a preset."""
    kind = " | ".join(p.choices) if p.choices else "part of a term" if p.type == "axis" else p.type
    limits = _range(p.gt, p.ge, p.lt, p.le)
    unit = p.unit if isinstance(p.unit, str) else "; ".join(f"{u} if {c}" for c, u in (p.unit or {}).items())
    default = _default_text(p)
    return FieldText(path, kind, default, limits, unit, p.symbol or "", p.description)


def _default_text(p: Parameter) -> str:
    if p.default is None:
        return "left out" if p.type == "axis" else "required"
    if isinstance(p.default, dict):
        return "{" + ", ".join(f"{key}: {scalar_text(value)}" for key, value in p.default.items()) + "}"
    return scalar_text(p.default)


def _fields(steps: list[str]) -> list[FieldText]:
    owners: list[type[BaseModel]] = [Job]
    for step in steps[:-1]:
        owners = [m for o in owners if step in o.model_fields for m in field_models(o.model_fields[step])]
    if not steps:
        return []
    found = [
        _field(".".join(steps), o.model_fields[steps[-1]]) for o in owners if steps[-1] in o.model_fields
    ]
    return list(dict.fromkeys(found))


def _field(path: str, info: FieldInfo) -> FieldText:
    extra: dict[str, Any] = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    limits = {
        k: getattr(m, k, None) for m in info.metadata for k in ("gt", "ge", "lt", "le") if hasattr(m, k)
    }
    return FieldText(
        path,
        _type(info.annotation),
        DERIVED.get(path) or _default(info),
        _range(*(limits.get(k) for k in ("gt", "ge", "lt", "le"))),
        str(extra.get("unit", "")),
        str(extra.get("symbol", "")),
        info.description or "",
        tuple(dict.fromkeys(n for m in field_models(info) for n in m.model_fields)),
    )


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.default
    if value is None:
        return "left out"
    return "" if isinstance(value, BaseModel) or value is PydanticUndefined else scalar_text(value)


def _range(gt: Any, ge: Any, lt: Any, le: Any) -> str:
    parts = [("above", gt), ("at least", ge), ("below", lt), ("at most", le)]
    return ", ".join(f"{words} {_number(value)}" for words, value in parts if value is not None)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


DERIVED = {"name": "the name of the file", "output_dir": "runs/NAME"}
NAMES = {float: "number", int: "whole number", bool: "true | false", str: "text"}


def _type(annotation: Any) -> str:
    return " | ".join(dict.fromkeys(_member(m) for m in members(annotation)))


def _member(member: Any) -> str:
    bare = plain(member)
    if get_origin(bare) is Literal:
        return " | ".join(map(str, get_args(bare)))
    if get_origin(bare) is list:
        return f"list of {_type(get_args(bare)[0])}"
    if get_origin(bare) is dict:
        return f"mapping from a name to {_type(get_args(bare)[1])}"
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        named = [t for t in tags(bare) if not t.startswith("(")]
        return f"{{{named[0]}}}" if len(named) == 1 else "mapping"
    return NAMES.get(bare, str(bare))


def fields_of(model: type[BaseModel], path: str = "") -> list[FieldText]:
    """Describe the fields of a model at a path."""
    return [_field(f"{path}.{n}" if path else n, info) for n, info in model.model_fields.items()]


def fields_below(path: str = "") -> Iterator[FieldText]:
    """Yield each field of the spec; a section comes before its fields."""
    yield from _below(Job, path, 0)


def _below(model: type[BaseModel], path: str, depth: int) -> Iterator[FieldText]:
    for name, info in model.model_fields.items():
        at = f"{path}.{name}" if path else name
        yield _field(at, info)
        if depth < 6:
            for inner in field_models(info):
                yield from _below(inner, at, depth + 1)

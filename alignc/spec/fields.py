"""Walk the models of a spec, and list the fields at a path."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Tag
from pydantic.fields import FieldInfo

__all__ = ["field_models", "field_names", "members", "model_at", "plain", "tags"]

DISCRIMINATORS = ("kind", "of", "init", "name")


def field_names(model: type[BaseModel] | None) -> list[str]:
    """List the keys of a model."""
    return list(model.model_fields) if model else []


def model_at(model: type[BaseModel], location: Sequence[str | int]) -> type[BaseModel] | None:
    """Find the model at a location; tags of unions count as steps, as pydantic reports them."""
    current: Any = model
    for step in location:
        current = _step(current, step)
    return _as_model(current)


def _step(annotation: Any, step: str | int) -> Any:
    choices = members(annotation)
    model = _as_model(annotation)
    if model is not None and (len(choices) == 1 or str(step) in model.model_fields):
        info = model.model_fields.get(str(step))
        return _annotation(info) if info else None
    if isinstance(step, int):
        inner = [get_args(plain(c))[0] for c in choices if get_origin(plain(c)) is list]
        return inner[0] if inner else None
    mappings = [get_args(c)[1] for c in choices if get_origin(c) is dict]
    named = [c for c in choices if step in tags(c)]
    if len(named) > 1:  # a union inside a union; a second key selects the member
        return Union[tuple(named)]  # noqa: UP007
    return named[0] if named else mappings[0] if mappings else annotation


def _annotation(info: FieldInfo) -> Any:
    return Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation


def _as_model(annotation: Any) -> type[BaseModel] | None:
    models = [plain(m) for m in members(annotation)]
    models = [m for m in models if isinstance(m, type) and issubclass(m, BaseModel)]
    return models[0] if len(models) == 1 else None


def field_models(info: FieldInfo) -> list[type[BaseModel]]:
    """List the models that the value of a field may have, also inside a list or a mapping by name."""
    found: list[type[BaseModel]] = []
    for member in members(_annotation(info)):
        bare = plain(member)
        inner = members(get_args(bare)[-1]) if get_origin(bare) in (list, dict) else [bare]
        found += [m for m in map(plain, inner) if isinstance(m, type) and issubclass(m, BaseModel)]
    return list(dict.fromkeys(found))


def plain(annotation: Any) -> Any:
    """Return a type without its annotations."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def members(annotation: Any) -> list[Any]:
    """List the members of a union, flattened and without None; a plain type has itself as its only member."""
    bare = annotation if _has_tag(annotation) else plain(annotation)
    if get_origin(bare) in (Union, types.UnionType):
        return [m for arg in get_args(bare) for m in members(arg) if m is not type(None)]
    inner = plain(bare)
    if bare is not inner and get_origin(inner) in (Union, types.UnionType):
        return members(inner)
    return [bare]


def _has_tag(annotation: Any) -> bool:
    return get_origin(annotation) is Annotated and any(isinstance(m, Tag) for m in get_args(annotation)[1:])


def tags(member: Any) -> set[str]:
    """Collect the names of a member in its union: its tag, or the values of its discriminator."""
    if get_origin(member) is Annotated:
        own = {m.tag for m in get_args(member)[1:] if isinstance(m, Tag)}
        return own or tags(get_args(member)[0])
    if isinstance(member, type) and issubclass(member, BaseModel):
        fields = [f for name, f in member.model_fields.items() if name in DISCRIMINATORS]
        return {str(v) for f in fields for v in _literals(f.annotation)}
    return set()


def _literals(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()

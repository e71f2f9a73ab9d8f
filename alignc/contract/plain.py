"""Dataclasses to and from the plain data of JSON: one writer and one reader for all of `job.json`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

from .failure import Failure

__all__ = ["build", "left_out", "optional", "to_plain"]

T = TypeVar("T")


@runtime_checkable
class OwnForm(Protocol):
    """A dataclass whose keys are not its fields one by one."""

    def as_plain(self) -> dict[str, Any]:
        """Return the keys that are written."""
        ...


def left_out() -> Any:
    """Declare a field that is None where its key is not there: `weight` of an opponent that has none."""
    return dataclasses.field(default=None, metadata={"left_out": True})


def to_plain(value: Any) -> Any:
    """Turn dataclasses, mappings and sequences into dicts and lists, keys in the order of the fields."""
    if isinstance(value, OwnForm):
        return to_plain(value.as_plain())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: to_plain(inner) for name, inner in written(value).items()}
    if isinstance(value, Mapping):
        return {name: to_plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(inner) for inner in value]
    return value


def written(value: Any) -> dict[str, Any]:
    """List the fields of a dataclass that have a key."""
    found = {key_of(each): getattr(value, each.name) for each in dataclasses.fields(value)}
    gone = {key_of(each) for each in dataclasses.fields(value) if each.metadata.get("left_out")}
    return {name: inner for name, inner in found.items() if not (inner is None and name in gone)}


def key_of(field: dataclasses.Field[Any]) -> str:
    """Return the key of a field: its name, unless the field declares another one."""
    return str(field.metadata.get("key", field.name))


def build(kind: type[T], data: Mapping[str, Any], where: str) -> T:
    """Build a dataclass from a mapping that has its keys and no others. Failure E806 where they differ."""
    fields = {key_of(each): each for each in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - set(fields))
    needed = {n for n, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING}
    missing = sorted(needed - set(data))
    if unknown or missing:
        raise Failure(
            "E806",
            f"job.json does not fit this runtime: {where} has unknown keys {unknown}, lacks {missing}",
            help="compile the spec again with the alignc that runs it",
        )
    return kind(**{fields[key].name: value for key, value in data.items()})


def optional(kind: type[T], data: Mapping[str, Any] | None, where: str) -> T | None:
    """Build a dataclass, or nothing where there is no mapping."""
    return None if data is None else build(kind, data, where)

"""The base of every spec model, and how a field is declared."""

from __future__ import annotations

from typing import Any, Literal, Union, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = ["Spec", "field", "named"]

REQUIRED: Any = ...


class Spec(BaseModel):
    """A section of a spec: strict types, no unknown keys, immutable."""

    # Built when first used: only the whole spec and presets are validated by themselves.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)


def field(
    default: Any = REQUIRED,
    description: str = "",
    *,
    unit: str | None = None,
    symbol: str | None = None,
    **constraints: Any,
) -> Any:
    """Declare a field: its default, what it means, its unit and the paper's symbol.

    Everything that is ever said of a field (JSON Schema, `describe`, the reference) is read from here.
    """
    extra: dict[str, Any] = {k: v for k, v in (("unit", unit), ("symbol", symbol)) if v is not None}
    return Field(default, description=description, json_schema_extra=extra or None, **constraints)


def named(union: Any, *, formulas: bool = False) -> BeforeValidator:
    """Read `hinge` as `{kind: hinge}`, for a union that is told apart by `kind`.

    With `formulas` any text that is no name is one. The JSON Schema takes the names of what has no other required
    field.
    """
    members = {get_args(m.model_fields["kind"].annotation)[0]: m for m in get_args(get_args(union)[0])}
    alone = tuple(k for k, m in members.items() if not _required(m) - {"kind"})

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        formula = formulas and (value not in members or value == "formula")
        return {"kind": "formula", "formula": value} if formula else {"kind": value}

    short: Any = str if formulas else Literal[alone]
    return BeforeValidator(read, json_schema_input_type=Union[union, short])  # noqa: UP007


def _required(model: type[BaseModel]) -> set[str]:
    return {name for name, info in model.model_fields.items() if info.is_required()}

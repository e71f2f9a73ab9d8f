"""The base of each spec model, and the declaration of a field."""

from __future__ import annotations

from typing import Any, Literal, Union, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = ["Spec", "field", "named"]

REQUIRED: Any = ...


class Spec(BaseModel):
    """A section of a spec: strict types, no unknown keys, immutable."""

    # The validator is built at first use: only the whole spec and presets are validated by themselves.
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True)


def field(
    default: Any = REQUIRED,
    description: str = "",
    *,
    unit: str | None = None,
    symbol: str | None = None,
    **constraints: Any,
) -> Any:
    """Declare a field: its default, its description, its unit and the symbol of the paper.

    JSON Schema, `describe` and docs/spec.md read all texts about a field from this declaration.
    """
    extra: dict[str, Any] = {k: v for k, v in (("unit", unit), ("symbol", symbol)) if v is not None}
    return Field(default, description=description, json_schema_extra=extra or None, **constraints)


def named(union: Any, *, formulas: bool = False) -> BeforeValidator:
    """Read `hinge` as `{kind: hinge}`, for a union whose members have different values of `kind`.

    With `formulas`, any text that is not a name is a formula. The JSON Schema accepts the name of a member that has
    no other required field.
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

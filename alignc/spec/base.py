"""The base of every spec model, and how a field is declared."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Spec", "field"]

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

"""The fields of `alignc.toml`: the functions and hosts that specs may use."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from alignc.spec.base import Spec, field
from alignc.spec.rewards import FUNCTION

__all__ = ["Allow", "Allowance", "allowance_schema"]

HOST = r"^[^\s/?#@]+$"


class Allow(Spec):
    """The functions and hosts that a user allows specs to use."""

    functions: list[Annotated[str, Field(pattern=FUNCTION)]] = field(
        [], "Functions that a reward or an oracle may run, written as `module:function`."
    )
    hosts: list[Annotated[str, Field(pattern=HOST)]] = field(
        [], "Hosts that a reward may send responses to, with their ports, such as `localhost:8000`."
    )


class Allowance(Spec):
    """The file `alignc.toml`, beside the specs or in a folder above them."""

    allow: Allow = field(Allow(), "The functions and hosts that the specs in this folder may use.")


def allowance_schema() -> dict[str, Any]:
    """Build the JSON Schema of `alignc.toml`, for editors."""
    from alignc.schema.schema import DIALECT, without_titles

    return {"$schema": DIALECT, "title": "alignc.toml", **without_titles(Allowance.model_json_schema())}

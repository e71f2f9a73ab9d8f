"""What `alignc.toml` may say: what the specs around it may run and reach."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from alignc.spec.base import Spec, field
from alignc.spec.rewards import FUNCTION

__all__ = ["Allow", "Allowance", "allowance_schema"]

HOST = r"^[^\s/?#@]+$"


class Allow(Spec):
    """What a person allows specs to run and to reach."""

    functions: list[Annotated[str, Field(pattern=FUNCTION)]] = field(
        [], "Functions that a reward or an oracle may run, each as `module:function`."
    )
    hosts: list[Annotated[str, Field(pattern=HOST)]] = field(
        [], "Hosts that a reward may send responses to, with their ports: `localhost:8000`."
    )


class Allowance(Spec):
    """`alignc.toml`, beside specs or in a folder above them."""

    allow: Allow = field(Allow(), "What the specs here may run and reach.")


def allowance_schema() -> dict[str, Any]:
    """Build the JSON Schema of `alignc.toml`, for editors."""
    from alignc.schema.schema import DIALECT, without_titles

    return {"$schema": DIALECT, "title": "alignc.toml", **without_titles(Allowance.model_json_schema())}

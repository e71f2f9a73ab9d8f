"""`init: ARCHITECTURE`: a new model with random weights, with any field of its configuration.

The fields come from `architectures.json`, which is generated from transformers' configurations
(`python -m alignc.runtime.models.architectures`) and held fresh by a test.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Annotated, Any, Literal, Union

from pydantic import Field, create_model

from alignc.spec.base import Spec, field

__all__ = ["InitPolicy", "InitPolicyBase"]

TYPES: dict[str, Any] = {"int": int, "float": float, "bool": bool, "str": str}


class InitPolicyBase(Spec):
    """A policy with new random weights."""

    tokenizer: str = field(
        "bytes",
        "`bytes` (one token per byte), or the folder of a tokenizer. The tokenizer decides the vocabulary.",
    )


def _field(name: str, entry: dict[str, Any]) -> tuple[Any, Any]:
    default = entry["default"]
    text = f"`{name}` of the configuration; the default is {json.dumps(default)}."
    limits: dict[str, Any] = {"ge": 1} if entry["type"] == "int" and name not in NOT_COUNTS else {}
    return TYPES[entry["type"]] | None, field(None, text, **limits)


NOT_COUNTS = {"max_window_layers"}


def _model(architecture: str, entries: dict[str, dict[str, Any]]) -> type[InitPolicyBase]:
    fields: dict[str, Any] = {"init": (Literal[architecture], field(..., "The architecture."))}
    fields |= {name: _field(name, entry) for name, entry in entries.items()}
    title = f"{architecture.capitalize()}Policy"
    return create_model(
        title, __base__=InitPolicyBase, __doc__=f"A new {architecture} model with random weights.", **fields
    )


def _table() -> dict[str, dict[str, dict[str, Any]]]:
    text = resources.files("alignc.spec").joinpath("architectures.json").read_text("utf-8")
    table: dict[str, dict[str, dict[str, Any]]] = json.loads(text)
    return table


_MODELS: Any = tuple(_model(name, entries) for name, entries in _table().items())
InitPolicy: Any = Annotated[Union[_MODELS], Field(discriminator="init")]  # noqa: UP007

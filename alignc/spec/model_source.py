"""The sources of models that this job does not train."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from alignc.diagnostics.suggest import did_you_mean
from alignc.spec.base import Spec, field

__all__ = ["KLAnchor", "ModelSource", "Name", "RunPolicy", "ScoreAnchor", "form"]

Name = Annotated[str, Field(min_length=1)]


class RunPolicy(Spec):
    """The model that another spec trains."""

    run: str = field(..., "A spec; the model is its `output_dir/model`.", min_length=1)


def form(given: dict[str, Any], usual: str, other: str) -> str:
    """Choose between two forms of a mapping by the key of the other form, even if this key is misspelt."""
    if usual in given or did_you_mean(usual, map(str, given)):
        return f"({usual})"
    return f"({other})" if other in given or did_you_mean(other, map(str, given)) else f"({usual})"


def _source_form(value: Any) -> str:
    return "(run)" if isinstance(value, dict | RunPolicy) else "(id)"


ModelSource = Annotated[
    Annotated[Name, Tag("(id)")] | Annotated[RunPolicy, Tag("(run)")], Discriminator(_source_form)
]


def _anchor_form(value: Any) -> str:
    """Return the tag of an anchor: a folder or hub id has a slash, and the name of a model has none."""
    if isinstance(value, dict | RunPolicy):
        return "(run)"
    return "(id)" if isinstance(value, str) and "/" in value else "(name)"


_OTHER = Annotated[str, Field(min_length=1, pattern="/"), Tag("(id)")] | Annotated[RunPolicy, Tag("(run)")]
KLAnchor = Annotated[
    Annotated[Literal["initial", "previous_iterate", "rollout", "ema"], Tag("(name)")] | _OTHER,
    Discriminator(_anchor_form),
]
ScoreAnchor = Annotated[
    Annotated[Literal["initial", "previous_iterate", "rollout", "ema", "none"], Tag("(name)")] | _OTHER,
    Discriminator(_anchor_form),
]

"""The audit of axes: each field of a term that a spec writes changes the loss, or is reported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from alignc.checks.rule import Checked, term_path
from alignc.diagnostics import Diagnostic
from alignc.graph.types import GraphTypeError
from alignc.lower.lookup import Lookup
from alignc.lower.loss import TermLoss
from alignc.lower.scope import Names, Scope
from alignc.lower.terms import lower_term
from alignc.spec.fields import members, plain
from alignc.spec.kl import KLPlacement
from alignc.spec.objective import Term
from alignc.spec.views import view
from alignc.yaml.source import NodePath

__all__ = ["unread_axes", "unread_steps"]

ELSEWHERE = frozenset({"name", "kind", "data", "weight", "samples", "adaptive", "ratio", "gae_lambda"})
"""Fields that are no axis, that a rollout reads, or of which another rule speaks."""


def unread_axes(checked: Checked) -> Iterator[Diagnostic]:
    """W114: a field of a term whose other values all give the same loss."""
    for index, steps in unread_steps(checked):
        message = f"`{'.'.join(steps)}` has no effect here: the loss is the same for each of its values"
        yield checked.finding("W114", message, (*term_path(index), *steps))


def unread_steps(checked: Checked) -> Iterator[tuple[int, tuple[str, ...]]]:
    """List the written fields that have no effect: the index of the term, and the way to the field in it."""
    lookup = checked.spec.lookup
    for index, term in enumerate(checked.spec.job.objective.terms):
        for steps, others in _written(checked, term, term_path(index)):
            if others and all(_same(lookup, index, term, steps, other) for other in others):
                yield index, steps


def _written(
    checked: Checked, part: BaseModel, path: NodePath, steps: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """List the fields that a user's file writes, also in nested axes, each with some of its other values."""
    document = checked.spec.document
    if isinstance(part, KLPlacement) and part.beta == 0:
        return
    for name, info in type(part).model_fields.items():
        value, here = getattr(part, name), (*steps, name)
        origin = document.origins.get((*path, *here))
        if name in ELSEWHERE or origin is None or origin.span is None or (*path, *here) in document.bindings:
            continue
        if isinstance(value, BaseModel):
            yield from _written(checked, value, path, here)
        else:
            yield here, _others(info, value)


def _others(info: FieldInfo, value: Any) -> list[Any]:
    """List other values of a choice, or two other numbers; nothing for a text."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, float | int):
        return [value / 2 + 0.125, value / 4 + 0.0625]
    names = [
        n for c in members(info.annotation) if get_origin(plain(c)) is Literal for n in get_args(plain(c))
    ]
    return [n for n in names if n != value] if isinstance(value, str) and value in names else []


def _same(lookup: Lookup, index: int, term: Term, steps: tuple[str, ...], other: Any) -> bool:
    """Tell whether a term with another value is the same loss; one that cannot be lowered is not."""
    try:
        return _lowered(lookup, index, _changed(term, steps, other)) == _lowered(lookup, index, term)
    except GraphTypeError:
        return False


def _changed(part: Any, steps: tuple[str, ...], value: Any) -> Any:
    first, *rest = steps
    inner = _changed(getattr(part, first), tuple(rest), value) if rest else value
    return part.model_copy(update={first: inner})


def _lowered(lookup: Lookup, index: int, term: Term) -> TermLoss:
    terms = [*lookup.job.objective.terms]
    terms[index] = term
    many = len(lookup.whole.objective.terms) > 1
    scope = Scope(lookup, ("objective", "terms", index), many, Names())
    return lower_term(term, scope, view(lookup.job.data.kind, terms))[0]

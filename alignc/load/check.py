"""Conversion of pydantic's errors to diagnostics at the line of the user."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from alignc.contract.support import ABSENT
from alignc.diagnostics import Diagnostic, Span
from alignc.diagnostics.suggest import did_you_mean
from alignc.load.document import Document
from alignc.load.renamed import RENAMED
from alignc.spec.fields import field_names, model_at
from alignc.spec.rewards import FUNCTION, URL
from alignc.yaml.scalars import scalar_text
from alignc.yaml.source import NodePath

__all__ = ["diagnose", "missing_field", "shown", "unknown_field"]

LIMITS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}
LENGTHS = {"too_long", "string_too_short", "string_too_long"}
NAME = r"^[a-z][a-z0-9_]*$"
FORMS = {
    FUNCTION: "`module:function`",
    URL: "`http://HOST/PATH`, without a user",
    NAME: "a name of lower-case letters, digits and _",
}
"""The patterns of fields, in words."""
TYPES = {
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "string_type": "a text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}


def diagnose(
    error: ValidationError, document: Document, model: type[BaseModel], *, skip: str | None = None
) -> list[Diagnostic]:
    """Turn a validation error into diagnostics in the order of the file, one for each cause.

    `skip` names a section whose errors are reported already.
    """
    found: dict[tuple[str, NodePath], Diagnostic] = {}
    forgiven: set[NodePath] = set()
    for item in error.errors(include_url=False):
        location = item["loc"]
        if skip is not None and location[:1] == (skip,):
            continue
        path = data_path(location, document, str(item["type"]))
        diagnostic, guess = _one(item, location, path, document, model)
        found.setdefault((diagnostic.code, path), diagnostic)
        if guess:
            forgiven.add((*path[:-1], guess))
    kept = [d for (code, path), d in found.items() if not (code == "E006" and path in forgiven)]
    return sorted(kept, key=lambda d: (d.span.file, d.span.line, d.span.column))


def data_path(location: Sequence[str | int], document: Document, kind: str) -> NodePath:
    """Remove the union tags of a pydantic location; the result is a path in the data.

    A tag may also be a key, such as `sources`. Then the unknown field decides whether the step is a tag or a key.
    """
    path = _walked(location, document)
    if kind == "extra_forbidden" and path[-1:] != tuple(location[-1:]):
        without = ([*location[:i], *location[i + 1 :]] for i in range(len(location) - 1))
        paths = (_walked(each, document) for each in without)
        return next((p for p in paths if p[-1:] == tuple(location[-1:])), path)
    return (*path, location[-1]) if kind == "missing" else path


def _walked(location: Sequence[str | int], document: Document) -> NodePath:
    node: Any = document.data
    path: NodePath = ()
    for step in location:
        inside = (isinstance(node, dict) and step in node) or (
            isinstance(node, list) and isinstance(step, int)
        )
        if inside:
            node, path = node[step], (*path, step)
    return path


def _one(
    item: Any, location: tuple[str | int, ...], path: NodePath, document: Document, model: type[BaseModel]
) -> tuple[Diagnostic, str | None]:
    kind = str(item["type"])
    if kind == "extra_forbidden":
        return unknown_field(path, field_names(model_at(model, location[:-1])), document)
    if kind == "missing":
        return missing_field(path, document), None
    if kind == "union_tag_not_found":
        return _no_tag(path, str(item["ctx"]["discriminator"]).strip("'"), document)
    if kind == "union_tag_invalid":
        return _wrong_tag(path, item["ctx"], document), None
    return _wrong_value(kind, item, path, document), None


def unknown_field(path: NodePath, known: Sequence[str], document: Document) -> tuple[Diagnostic, str | None]:
    """Make the E002 of an unknown field; also return the field that was probably meant."""
    name = str(path[-1])
    guess = did_you_mean(name, known)
    renamed = RENAMED.get(name)
    where = _dotted(p for p in document.written(path[:-1]) if not isinstance(p, int)) or "the spec"
    if guess:
        way_out = f"did you mean `{guess}`?"
    elif renamed:
        way_out = renamed
    else:
        way_out = f"the fields of {where} are: {', '.join(known)}"
    span = document.span(path, of_key=True)
    return Diagnostic("E002", f"unknown field `{name}`", span, help=way_out), guess


def missing_field(path: NodePath, document: Document) -> Diagnostic:
    """Make the E006 of a missing field, at the key of its parent."""
    where = _dotted(document.written(path[:-1]))
    inside = f" in `{where}`" if where else ""
    span = document.span(path[:-1], of_key=True) if path[:-1] else _top(document)
    return Diagnostic("E006", f"missing field `{path[-1]}`{inside}", span)


def _dotted(path: Iterable[str | int]) -> str:
    return ".".join(map(str, path))


def _top(document: Document) -> Span:
    """Return the start of the file, or the start of the stage if the document is a stage of a pipeline."""
    origin = document.origins.get(())
    return origin.key if origin and origin.key else Span.at(document.span(()).file)


def _no_tag(path: NodePath, field: str, document: Document) -> tuple[Diagnostic, str | None]:
    keys = document.get(path, {})
    guess = did_you_mean(field, [k for k in keys if isinstance(k, str)]) if isinstance(keys, dict) else None
    if guess is None:
        return missing_field((*path, field), document), None
    return unknown_field((*path, guess), [field], document)


def _wrong_tag(path: NodePath, context: Any, document: Document) -> Diagnostic:
    field = str(context["discriminator"]).strip("'")
    choices = [c.strip().strip("'") for c in str(context["expected_tags"]).split(",")]
    guess = did_you_mean(str(context["tag"]), choices)
    hint = f"did you mean `{guess}`?" if guess else f"one of: {', '.join(choices)}"
    message = f"`{field}` has no choice `{context['tag']}`"
    return Diagnostic("E003", message, document.span((*path, field)), help=hint)


def _wrong_value(kind: str, item: Any, path: NodePath, document: Document) -> Diagnostic:
    name, given = _name(document.written(path)), item["input"]
    span = document.span(path)
    if isinstance(given, float) and not math.isfinite(given):
        return Diagnostic("E004", f"`{name}` must be finite, found {given}", span)
    if kind in LIMITS:
        key, words = LIMITS[kind]
        return Diagnostic("E004", f"`{name}` must be {words} {item['ctx'][key]}, found {given}", span)
    if kind == "string_pattern_mismatch":
        pattern = str(item["ctx"]["pattern"])
        seen = (
            "" if pattern == URL else f", found {shown(given)}"
        )  # an address may contain a password, so it is not shown
        return Diagnostic(
            "E004", f"`{name}` must be {FORMS.get(pattern, f'a text that matches `{pattern}`')}{seen}", span
        )
    if kind == "too_short":
        return Diagnostic("E004", f"`{name}` must not be empty", span)
    if kind in LENGTHS:
        return Diagnostic("E004", f"`{name}`: {_lower(item['msg'])}", span)
    if kind == "literal_error":
        absent = ABSENT.get((_dotted(path), str(given)))
        return _wrong_choice(name, str(given), str(item["ctx"]["expected"]), span, absent)
    expected = TYPES.get(kind, "")
    message = f"`{name}` must be {expected}" if expected else f"`{name}`: {_lower(item['msg'])}"
    return Diagnostic("E003", f"{message}, found {shown(given)}", span)


def _wrong_choice(
    name: str, given: str, expected: str, span: Any, absent: tuple[str, str] | None
) -> Diagnostic:
    """Make the E003 of an unknown choice; `absent` holds its reason and its help, if they are known."""
    if absent is not None:
        return Diagnostic("E003", f"`{name}: {given}` is not supported", span, why=absent[0], help=absent[1])
    choices = [c.strip("' ") for c in expected.replace(" or ", ", ").split(",")]
    guess = did_you_mean(given, choices)
    hint = f"did you mean `{guess}`?" if guess else f"one of: {', '.join(choices)}"
    return Diagnostic("E003", f"`{name}` has no choice `{given}`", span, help=hint)


def _name(path: NodePath) -> str:
    named = [str(p) for p in path if not isinstance(p, int)]
    return named[-1] if named else "the spec"


def shown(value: Any) -> str:
    """Name a value that was found where it must not be."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = "nothing" if value is None else repr(value) if isinstance(value, str) else scalar_text(value)
    return text if len(text) < 60 else text[:57] + "…"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]

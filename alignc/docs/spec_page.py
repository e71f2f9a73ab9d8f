"""docs/spec.md: every field of a spec, section by section."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from alignc.docs.markdown import GENERATED, code, table
from alignc.schema.describe import FieldText, fields_of
from alignc.spec.fields import field_models, tags
from alignc.spec.job import Job

__all__ = ["spec_page"]

INTRO = """\
# The spec

A spec is one YAML file that describes a training job. This page lists its fields, and each name is the whole path of a
field. `alignc describe FIELD` prints one of these entries. The [glossary](glossary.md) explains the terms.

- A spec may begin with `extends: FILE` or `extends: preset:NAME`. It then changes the values of that file or preset.
- `--set PATH=VALUE` overrides any value on the command line.
- `objective` is a preset with its parameters ([methods](methods/README.md)), or a list of `terms` as below.
- Beside a preset, `terms: {NAME: {…}}` changes a term of the preset or adds one.
- A term may itself be a preset with its parameters: `{preset: NAME, weight: …, data: SOURCE, …}`
  ([several losses](mixing.md)).
"""
HEAD = ("field", "type", "default", "range", "unit", "symbol", "meaning")


def spec_page() -> str:
    """Write the page."""
    seen: dict[type[BaseModel], str] = {}
    return GENERATED + "\n" + INTRO + "".join(_sections(Job, "", seen))


def _sections(model: type[BaseModel], path: str, seen: dict[type[BaseModel], str]) -> Iterator[str]:
    """Write a model's table, then those of the models inside it; one that was shown is referred to."""
    seen[model] = path
    yield f"\n## {_heading(model, path)}\n\n{_sentence(model.__doc__)}\n\n"
    yield table(HEAD, [_row(f) for f in fields_of(model, path)])
    for name, info in model.model_fields.items():
        at = f"{path}.{name}" if path else name
        shown = [inner for inner in field_models(info) if inner in seen]
        for path_of_fields in dict.fromkeys(seen[inner] for inner in shown if seen[inner] != at):
            yield f"\n`{at}` has the fields of `{path_of_fields}`.\n"
        for inner in field_models(info):
            if inner not in seen:
                yield from _sections(inner, at, seen)


def _heading(model: type[BaseModel], path: str) -> str:
    if not path:
        return "The whole spec"
    named = sorted(tags(model))
    kind = next((k for k in ("kind", "of", "init") if k in model.model_fields), "")
    if kind and len(named) == 1:
        return f"{path} ({kind}: {named[0]})"
    words = _words(model.__name__)
    return path if words == path.rpartition(".")[2] else f"{path}: {words}"


def _words(name: str) -> str:
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).strip()


def _row(f: FieldText) -> list[str]:
    return [code(f.path), f.type, code(f.default), f.limits, f.unit, f.symbol, f.description]


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())

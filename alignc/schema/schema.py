"""The JSON Schema of a spec as a user writes it: the typed job, with presets instead of expanded terms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alignc.load.preset import Parameter, Preset, built_in, preset_names
from alignc.spec.job import Job

__all__ = ["DIALECT", "json_schema", "pipeline_schema", "without_titles"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TYPES = {
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
    "choice": "string",
    "axis": ["object", "string", "number", "null"],
}
LIMITS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}


NESTED: dict[str, Any] = {
    "type": "object",
    "description": "The terms of a preset, with its parameters.",
    "properties": {
        "preset": {"type": "string", "description": "Name of a preset, or path of a preset file."},
        "name": {
            "type": "string",
            "description": "Name of its term, or common prefix of the names of its terms.",
        },
        "weight": {"type": "number", "description": "Factor of the weight of each term."},
        "data": {
            "type": "string",
            "description": "Name of the source of the rows, if `data` has several sources.",
        },
        "terms": {
            "type": "object",
            "description": "Changes of its terms by name, or further terms.",
            "additionalProperties": {"type": "object"},
        },
    },
    "required": ["preset"],
}


def json_schema() -> dict[str, Any]:
    """Build the schema of specs, draft 2020-12."""
    schema = without_titles(Job.model_json_schema())
    terms = schema["$defs"]["Objective"]["properties"]["terms"]
    schema["$defs"]["Objective"] = _objective(terms["items"], schema["$defs"])
    schema["$defs"]["Sources"]["properties"]["sources"]["additionalProperties"] = False
    properties = schema["properties"]
    properties["extends"] = {"type": "string", "description": "A spec to start from, or `preset:NAME`."}
    schema["required"] = [name for name in schema["required"] if name not in ("name", "output_dir")]
    return {"$schema": DIALECT, "title": "alignc spec", **schema}


def pipeline_schema() -> dict[str, Any]:
    """Build the schema of pipelines, draft 2020-12; `job.schema.json` has the fields of a stage."""
    name = {
        "type": "string",
        "minLength": 1,
        "description": "Name of the stage; other stages use it in `{run: NAME}`.",
    }
    inline = {
        "type": "object",
        "description": "A spec; with `extends`, any part may come from another file.",
        "properties": {"name": name, "extends": {"type": "string"}},
        "required": ["name"],
        "anyOf": [{"required": ["extends"]}, {"$ref": "job.schema.json"}],
    }
    path = {"type": "string", "description": "Path of a spec, relative to the folder of the pipeline."}
    stages = {
        "type": "array",
        "minItems": 1,
        "description": "The stages. A stage runs after the stages whose models it starts from.",
        "items": {"anyOf": [path, inline]},
    }
    properties = {
        "version": {"const": 1, "default": 1, "description": "Version of the language."},
        "name": {"type": "string", "description": "Name of the pipeline."},
        "stages": stages,
    }
    closed = {"type": "object", "required": ["stages"], "additionalProperties": False}
    return {"$schema": DIALECT, "title": "alignc pipeline", "properties": properties, **closed}


def _objective(term: dict[str, Any], models: dict[str, Any]) -> dict[str, Any]:
    names = {kind: ref.rpartition("/")[2] for kind, ref in term["discriminator"]["mapping"].items()}
    fields = {kind: models[name]["properties"] for kind, name in names.items()}
    named = {"type": "object", "additionalProperties": {"type": "object"}}
    plain = {
        "type": "object",
        "description": "A weighted sum of terms.",
        "properties": {
            "terms": {
                "description": "The terms of the loss: a list, or a mapping by name.",
                "anyOf": [
                    {"type": "array", "items": {"anyOf": [term, NESTED]}, "minItems": 1},
                    named,
                ],
            }
        },
        "required": ["terms"],
        "additionalProperties": False,
    }
    own = {
        "type": "object",
        "description": "A preset of your own.",
        "properties": {
            "preset": {"type": "string", "pattern": r"\.ya?ml$", "description": "Path of the preset file."}
        },
        "required": ["preset"],
    }
    return {
        "description": "The objective: a preset with its parameters, or terms.",
        "anyOf": [*(_preset(built_in(n), named, fields) for n in preset_names()), own, plain],
    }


def _preset(preset: Preset, terms: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    parts = {n: p for term in preset.terms for n, p in _parts(term, fields[term["kind"]])}
    return {
        "type": "object",
        "description": preset.summary,
        "properties": {
            "preset": {"const": preset.preset, "description": preset.title},
            **{n: _parameter(p, parts.get(n)) for n, p in preset.parameters.items()},
            "terms": {
                **terms,
                "description": "Changes of the terms of the preset by name, or further terms.",
            },
        },
        "required": [
            "preset",
            *(n for n, p in preset.parameters.items() if p.default is None and p.type != "axis"),
        ],
        "additionalProperties": False,
    }


def _parts(term: dict[str, Any], fields: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each parameter that is a whole field of a term, with the schema of this field."""
    for key, value in term.items():
        if isinstance(value, str) and value.startswith("=") and "anyOf" in fields[key]:
            yield value[1:], {"anyOf": fields[key]["anyOf"]}


def _parameter(parameter: Parameter, part: dict[str, Any] | None) -> dict[str, Any]:
    form = part if part and parameter.type == "axis" else {"type": TYPES[parameter.type]}
    shown: dict[str, Any] = {**form, "description": parameter.description}
    if parameter.default is not None or parameter.type == "axis":
        shown["default"] = parameter.default
    if parameter.choices:
        shown["enum"] = parameter.choices
    limits = {key: getattr(parameter, name) for name, key in LIMITS.items()}
    extra = {"symbol": parameter.symbol, "unit": parameter.unit}
    return shown | {k: v for k, v in {**limits, **extra}.items() if v is not None}


def without_titles(node: Any) -> Any:
    """Remove the titles of pydantic, which repeat the names."""
    if isinstance(node, dict):
        return {k: without_titles(v) for k, v in node.items() if k != "title" or not isinstance(v, str)}
    return [without_titles(v) for v in node] if isinstance(node, list) else node

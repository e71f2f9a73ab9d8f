"""E0xx and W0xx: reading a spec, and its fields."""

from __future__ import annotations

from alignc.diagnostics.catalogue.code import Code

READING = (
    Code(
        "E001",
        "the text cannot be read as a strict YAML document",
        "a spec must mean exactly what its text shows; anchors, aliases, merge keys, tags, directives, "
        "several documents and keys that are not text are refused; text that is not UTF-8 or not YAML is "
        "refused too",
        "correct the YAML at the caret; put quotes around text with special characters",
        "model: {policy: *base}",
    ),
    Code(
        "E002",
        "an unknown field",
        "if alignc ignored a misspelt field, the run would use a default instead of your value",
        "correct the name, or delete the field; `alignc describe` lists the fields of a section",
        "objective: {preset: dpo, bata: 0.1}",
    ),
    Code(
        "E003",
        "a value of the wrong type",
        "alignc does not convert values: text stays text, and 1 is not a truth value",
        "write a value of the type that the message names",
        'objective: {preset: dpo, beta: "small"}',
    ),
    Code(
        "E004",
        "a value out of its range",
        "outside its range, the quantity has no meaning or the loss is not defined",
        "choose a value inside the range that the message names",
        "objective: {preset: dpo, beta: -0.1}",
    ),
    Code(
        "E005",
        "a key that is set twice",
        "most YAML readers silently keep the last one, so one of two settings would be lost",
        "delete one of the two settings",
        "objective: {preset: dpo, beta: 0.1, beta: 0.2}",
    ),
    Code(
        "E006",
        "a required field is missing",
        "the field has no default value that suits every user",
        "add the field below the key that the caret shows",
        "objective: {preset: dpo}\nmodel: {}",
    ),
    Code(
        "E007",
        "an unknown preset",
        "no preset has this name, and no preset file exists at this path",
        "choose a preset from the list of `alignc presets`, or give the path of your own preset file",
        "objective: {preset: dpoo}",
    ),
    Code(
        "E008",
        "a file that does not exist",
        "the spec or the command line names a local file that does not exist; a relative path in a spec "
        "starts at the folder of the spec",
        "correct the path, or create the file",
        "extends: base-that-is-missing.yaml",
    ),
    Code(
        "W009",
        "a waiver that has no effect",
        "the comment names an unknown code, names a code that cannot be waived, or has no effect at this "
        "place",
        "correct the code, or delete the comment",
        "objective: {preset: dpo}  # alignc: ignore[E004] the range is too narrow",
    ),
)

__all__ = ["READING"]

"""E0xx and W0xx: reading a spec, and its fields."""

from __future__ import annotations

from alignc.diagnostics.catalogue.code import Code

READING = (
    Code(
        "E001",
        "the text cannot be read as a strict YAML document",
        "a spec must mean exactly what it shows: anchors, aliases, merge keys, tags, directives, several "
        "documents and keys that are not text are refused, as is text that is not UTF-8 or not YAML",
        "mend the YAML at the caret; put quotes around text with special characters",
        "model: {policy: *base}",
    ),
    Code(
        "E002",
        "an unknown field",
        "a misspelt field that is passed over would train with a default instead of the value you wrote",
        "correct the name, or delete the field; `alignc describe` lists what a section takes",
        "objective: {preset: dpo, bata: 0.1}",
    ),
    Code(
        "E003",
        "a value of the wrong type",
        "values are not converted: text stays text, and 1 is not a truth value",
        "write a value of the type that the message names",
        'objective: {preset: dpo, beta: "small"}',
    ),
    Code(
        "E004",
        "a value out of its range",
        "outside its range the quantity has no meaning, or the loss is not defined",
        "choose a value inside the range that the message names",
        "objective: {preset: dpo, beta: -0.1}",
    ),
    Code(
        "E005",
        "a key that is set twice",
        "most YAML readers silently keep the last one, so one of two settings would be lost",
        "delete one of the two",
        "objective: {preset: dpo, beta: 0.1, beta: 0.2}",
    ),
    Code(
        "E006",
        "a required field is missing",
        "the field has no default that would be right for everyone",
        "add the field below the key that the caret shows",
        "objective: {preset: dpo}\nmodel: {}",
    ),
    Code(
        "E007",
        "an unknown preset",
        "no file of that name is among the presets, and no preset file is at that path",
        "choose one that `alignc presets` lists, or give the path of a preset file of your own",
        "objective: {preset: dpoo}",
    ),
    Code(
        "E008",
        "a file that does not exist",
        "a local file that the spec or the command line names is not there; relative paths in a spec "
        "start at "
        "the spec's own folder",
        "correct the path, or create the file",
        "extends: base-that-is-missing.yaml",
    ),
    Code(
        "W009",
        "a waiver that has no effect",
        "the comment names a code that does not exist or that cannot be waived, or stands where it "
        "reaches nothing",
        "correct the code, or delete the comment",
        "objective: {preset: dpo}  # alignc: ignore[E004] the range is too narrow",
    ),
)

__all__ = ["READING"]

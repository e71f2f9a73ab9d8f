"""`alignc describe`: print the documentation of a field of the spec."""

from __future__ import annotations

import click

from alignc.diagnostics import did_you_mean
from alignc.load.preset import built_in, preset_names
from alignc.schema.describe import FieldText, describe, fields_below

__all__ = ["command"]


@click.command("describe")
@click.argument("field", required=False)
def command(field: str | None) -> None:
    """Print type, default, range and meaning of FIELD, such as `train.learning_rate` or `objective.dpo.beta`.

    Without FIELD, the command lists the sections of a spec.
    """
    found = describe(field) if field else [f for f in fields_below() if "." not in f.path]
    if not found:
        raise click.UsageError(_unknown(str(field)))
    click.echo("\n\n".join(_shown(f) for f in found))


def _unknown(field: str) -> str:
    parameters = [f"objective.{name}" for p in preset_names() for name in built_in(p).parameters]
    paths = list(dict.fromkeys([*(f.path for f in fields_below()), *parameters]))
    deepest_first = sorted(paths, key=lambda p: p.count("."), reverse=True)
    last = {p.rpartition(".")[2]: p for p in deepest_first}
    guess = did_you_mean(field, paths) or last.get(did_you_mean(field.rpartition(".")[2], last) or "")
    return f"there is no field `{field}`" + (f"; did you mean `{guess}`?" if guess else "")


def _shown(f: FieldText) -> str:
    rows = [
        ("type", f.type),
        ("default", f.default),
        ("range", f.limits),
        ("unit", f.unit),
        ("symbol", f.symbol),
        ("fields", ", ".join(f.children)),
    ]
    lines = [f"{f.path}: {f.description}", *(f"  {name:<8} {value}" for name, value in rows if value)]
    return "\n".join(lines)

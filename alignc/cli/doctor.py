"""`alignc doctor`: list the abilities of this machine, and the needs of a spec that it does not meet."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence

import click

from alignc.cli.options import overrides
from alignc.cli.show import colored
from alignc.contract.exits import ENVIRONMENT, SOUND
from alignc.doctor import Finding, examine

__all__ = ["command"]

MARKS = {"ok": "✓", "lacks": "✗", "note": "·"}
COLORS = {"ok": "green", "lacks": "red", "note": None}


@click.command("doctor")
@click.argument("spec", type=click.Path(), required=False)
@overrides
@click.option("--online", is_flag=True, help="Also check that the Hugging Face hub answers.")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True)
def command(spec: str | None, overrides: Sequence[str], online: bool, form: str) -> int:
    """List the abilities of this machine. With SPEC, list each thing that the spec needs and that is missing here.

    ✓ marks a thing that is present, ✗ a thing that is needed and missing, · a note. The command opens no model and
    no data. The exit code is 3 if a needed thing is missing.
    """
    found = examine(spec, overrides, online=online)
    lacks = [each for each in found if each.state == "lacks"]
    if form == "json":
        shown = {"sound": not lacks, "checks": [dataclasses.asdict(each) for each in found]}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(_lines(found, len(lacks), colored(sys.stdout))))
    return ENVIRONMENT if lacks else SOUND


def _lines(found: Sequence[Finding], lacks: int, color: bool) -> Iterator[str]:
    wide = max(len(each.name) for each in found)
    for group in dict.fromkeys(each.group for each in found):
        yield group
        for each in found:
            if each.group == group:
                yield from _line(each, wide, color)
        yield ""
    yield f"{lacks} {'thing is' if lacks == 1 else 'things are'} missing" if lacks else "nothing is missing"


def _line(each: Finding, wide: int, color: bool) -> Iterator[str]:
    mark = click.style(MARKS[each.state], fg=COLORS[each.state]) if color else MARKS[each.state]
    yield f"  {mark} {each.name:<{wide}}  {each.found}"
    if each.help:
        yield f"    {'':<{wide}}  → {each.help}"

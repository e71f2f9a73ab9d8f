"""`alignc doctor`: say what this machine can do, and what a spec lacks here."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence

import click

from alignc.cli.codes import ENVIRONMENT, SOUND
from alignc.cli.options import overrides
from alignc.cli.show import colored
from alignc.doctor import Finding, examine

__all__ = ["command"]

MARKS = {"ok": "✓", "lacks": "✗", "note": "·"}
COLORS = {"ok": "green", "lacks": "red", "note": None}


@click.command("doctor")
@click.argument("spec", type=click.Path(), required=False)
@overrides
@click.option("--online", is_flag=True, help="Ask whether the hub answers.")
@click.option("--format", "form", type=click.Choice(("text", "json")), default="text", show_default=True)
def command(spec: str | None, overrides: Sequence[str], online: bool, form: str) -> int:
    """Say what this machine can do; with SPEC, what that needs and does not find here.

    ✓ is there, ✗ is needed and is not there, · is good to know. Opens no model and no data. Exits 3 where anything
    that is needed is not there.
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
    yield f"{lacks} {'thing is' if lacks == 1 else 'things are'} lacking" if lacks else "nothing is lacking"


def _line(each: Finding, wide: int, color: bool) -> Iterator[str]:
    mark = click.style(MARKS[each.state], fg=COLORS[each.state]) if color else MARKS[each.state]
    yield f"  {mark} {each.name:<{wide}}  {each.found}"
    if each.help:
        yield f"    {'':<{wide}}  → {each.help}"

"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = ["overrides", "source", "spec_argument", "specs_argument"]

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

overrides: Decorator = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="A.B=C",
    help="Override a value of the spec; the value is parsed and checked as in the file.",
)
source: Decorator = click.option(
    "--source", metavar="NAME", help="The source of rows to use, if the spec has several."
)
spec_argument: Decorator = click.argument("spec", type=click.Path())
specs_argument: Decorator = click.argument("specs", type=click.Path(), nargs=-1, required=True)

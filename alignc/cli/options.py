"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

__all__ = ["overrides", "spec_argument", "specs_argument"]

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

overrides: Decorator = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="A.B=C",
    help="Override a value; parsed and checked like the file.",
)
spec_argument: Decorator = click.argument("spec", type=click.Path())
specs_argument: Decorator = click.argument("specs", type=click.Path(), nargs=-1, required=True)

"""`alignc schema`: print the JSON Schema of specs."""

from __future__ import annotations

import json

import click

from alignc.schema.schema import json_schema

__all__ = ["command"]


@click.command("schema")
def command() -> None:
    """Print the JSON Schema of specs (draft 2020-12), for editors and other checkers."""
    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))

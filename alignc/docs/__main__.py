"""`python -m alignc.docs [--check]`: write the generated references, or say which ones are stale."""

from __future__ import annotations

from pathlib import Path

import click

import alignc
from alignc.docs.pages import generated, stale, write

ROOT = Path(alignc.__file__).parents[1]


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where a page is stale.")
@click.option("--root", type=click.Path(file_okay=False, path_type=Path), default=ROOT, help="The checkout.")
def main(check: bool, root: Path) -> None:
    """Write the generated pages of docs/ and the JSON Schemas."""
    pages = generated()
    old = stale(pages, root)
    if not check:
        write(pages, root)
    for name in old:
        click.echo(f"{'stale' if check else 'wrote'} {name}")
    if check and old:
        click.echo("run `make docs`", err=True)
        raise SystemExit(1)


if __name__ == "__main__":
    main()

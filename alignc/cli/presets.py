"""`alignc presets`: list the presets, or print one preset."""

from __future__ import annotations

import click

from alignc.claims.makers.titles import citation
from alignc.load.preset import Preset, built_in, not_a_preset, preset_names

__all__ = ["command"]


@click.command("presets")
@click.argument("name", required=False)
@click.option("--names", is_flag=True, help="Print only the names.")
def command(name: str | None, names: bool) -> None:
    """List the presets of alignc, or print the file of the preset NAME."""
    if name is not None:
        _print_one(name)
    elif names:
        click.echo("\n".join(preset_names()))
    else:
        click.echo("\n".join(_line(built_in(n)) for n in preset_names()))


def _line(preset: Preset) -> str:
    parameters = ", ".join(f"{n} {_shown(p.default)}" for n, p in preset.parameters.items())
    return f"{preset.preset:<16} {preset.summary}" + (f"\n{'':<16} {parameters}" if parameters else "")


def _shown(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def _print_one(name: str) -> None:
    from alignc.diagnostics import DiagnosticError, Span

    if name not in preset_names():
        raise DiagnosticError(not_a_preset(name, Span.at("NAME")))
    preset = built_in(name)
    source = f"   ({citation(preset.paper)})" if preset.paper else ""
    click.echo(f"{preset.title}{source}\n\n{_file(name)}", nl=False)


def _file(name: str) -> str:
    from importlib import resources

    return resources.files("alignc.load").joinpath("presets", f"{name}.yaml").read_text("utf-8")

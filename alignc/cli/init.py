"""`alignc init`: write a first spec for your data."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from glob import glob
from itertools import islice
from pathlib import Path
from typing import Any

import click

from alignc.api import validate
from alignc.cli.show import show_diagnostics
from alignc.contract.exits import FINDINGS, SOUND
from alignc.contract.kinds import SELF_PLAY
from alignc.diagnostics import Diagnostic, DiagnosticError, Span
from alignc.load.paths import looks_local
from alignc.load.preset import Preset, built_in, not_a_preset, preset_names
from alignc.schema.columns import KINDS, Guess, guess_columns
from alignc.schema.schema import json_schema
from alignc.schema.starter import TINY, Start, judged, sample_rows, starter

__all__ = ["command"]

SCHEMA = "alignc.schema.json"
SNIFFED = 20
TINY_TRAIN = {"learning_rate": 1e-3, "num_train_epochs": 5}


@click.command("init")
@click.option(
    "--objective",
    default="dpo",
    show_default=True,
    help="The preset of the method; `alignc presets` lists all presets.",
)
@click.option("--model", help="A hub id or a folder; by default a tiny model with random weights.")
@click.option(
    "--data", help="A JSONL, CSV or parquet file, a folder or a hub id; by default a sample file is written."
)
@click.option("-o", "--output", default="spec.yaml", show_default=True, type=click.Path(dir_okay=False))
@click.option("--force", is_flag=True, help="Overwrite the files that exist.")
def command(objective: str, model: str | None, data: str | None, output: str, force: bool) -> int:
    """Write a first spec with a method, a model, the data and the names of the columns."""
    preset, path = _preset(objective), Path(output)
    sample = None if data else path.with_name(f"{path.stem}-{preset.data[0]}.jsonl")
    _refuse_overwriting([path, *([sample] if sample else [])], force)
    guess = _sniffed(data, preset) if data else Guess(preset.data[0], {})
    path.parent.mkdir(parents=True, exist_ok=True)
    if sample:
        _write_rows(sample, sample_rows(guess.kind))
    path.write_text(_spec(path, preset, model, data or str(sample), guess, sample is not None), "utf-8")
    path.with_name(SCHEMA).write_text(json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return _told(path, sample, data, guess)


def _preset(name: str) -> Preset:
    if name not in preset_names():
        raise DiagnosticError(not_a_preset(name, Span.at("--objective")))
    return built_in(name)


def _refuse_overwriting(paths: Sequence[Path], force: bool) -> None:
    there = [str(path) for path in paths if path.exists()]
    if there and not force:
        raise click.UsageError(
            f"{there[0]} exists already: pass --force to overwrite the file, or choose another file with -o"
        )


def _sniffed(source: str, preset: Preset) -> Guess:
    """Guess the columns from the first rows of local data; for data of the hub, assume the usual names."""
    if not looks_local(source, Path()):
        return Guess(preset.data[0], {})
    rows = _first_rows(source)
    guess = guess_columns(rows, preset.data)
    if guess is None:
        raise DiagnosticError(_no_parts(source, rows, preset))
    return guess


def _first_rows(source: str) -> list[Mapping[str, Any]]:
    from alignc.runtime.data.source import read_rows  # torch-free

    path = os.path.abspath(os.path.expanduser(source))
    if not os.path.exists(path) and not glob(path):
        raise DiagnosticError(Diagnostic("E008", f"there is no file `{source}`", Span.at("--data")))
    found = [getattr(row, "fields", None) for row in islice(read_rows(path), SNIFFED)]
    return [fields for fields in found if fields is not None]


def _no_parts(source: str, rows: Sequence[Mapping[str, Any]], preset: Preset) -> Diagnostic:
    there = ", ".join(f"`{name}`" for name in dict.fromkeys(name for row in rows for name in row)) or "none"
    wanted = " or ".join(
        ", ".join(f"`{part}`" for part in KINDS[kind][0]) for kind in preset.data if kind in KINDS
    )
    message = f"the columns are {there}; `{preset.preset}` needs {wanted}"
    help_ = "rename the columns, or choose another method from the list of `alignc presets`"
    return Diagnostic("E701", message, Span.at(source), help=help_)


def _spec(path: Path, preset: Preset, model: str | None, source: str, guess: Guess, sample: bool) -> str:
    local = looks_local(source, Path())
    source = os.path.relpath(os.path.expanduser(source), path.parent) if local else source
    if model is not None and looks_local(model, Path()):
        model = os.path.relpath(os.path.expanduser(model), path.parent)
        model = model if model.startswith(".") else f"./{model}"
    train = dict(TINY_TRAIN) if model is None else {}
    if guess.kind == SELF_PLAY:
        train.pop("num_train_epochs", None)  # self-play is limited by `data.iterations`
    start = Start(
        name=path.stem,
        preset=preset.preset,
        policy=model or TINY,
        kind=guess.kind,
        source=source,
        columns=guess.renamed,
        train=train,
        judge=judged(preset, guess.kind),
        schema=f"./{SCHEMA}",
    )
    return starter(start)


def _write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def _told(path: Path, sample: Path | None, data: str | None, guess: Guess) -> int:
    if data and guess.columns:
        pairs = ", ".join(c if c == p else f"{c}→{p}" for p, c in guess.columns.items())
        click.echo(f"{data}: looks like {guess.kind} data: {pairs}")
    if guess.around:
        become = "becomes" if len(guess.around) == 1 else "become"
        click.echo(f"{', '.join(guess.around)} {become} part of the prompt")
    if guess.unread:
        click.echo(f"not read: {', '.join(guess.unread)}")
    lines = len(path.read_text("utf-8").splitlines())
    click.echo(f"wrote {path} ({lines} lines), {path.with_name(SCHEMA)}" + (f", {sample}" if sample else ""))
    report = validate(path)
    if report.diagnostics:
        show_diagnostics(report.diagnostics, report.texts)
    click.echo(f"next: alignc explain {path} · alignc data {path} · alignc run {path}")
    return SOUND if report.sound else FINDINGS

"""`alignc data`: show how rows become tokens."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from alignc.api import Compiled, Mixture, built
from alignc.cli.options import overrides, spec_argument
from alignc.cli.show import colored, diagnostic, show_diagnostics
from alignc.contract.exits import FINDINGS, SOUND
from alignc.contract.files import JOB
from alignc.emit.job_json import job_of
from alignc.emit.mixture import PartOfJob

if TYPE_CHECKING:
    from alignc.runtime.data import DataSettings, Preview

__all__ = ["command"]

SHOWN_REFUSALS = 20
WIDTH = 12
LIGHT = 2**30
"""The most bytes of weights that are loaded for a look at rows."""
_ALL_WELL = "no row repeats another, and the responses of each row differ"


@click.command("data")
@spec_argument
@overrides
@click.option("--rows", type=click.IntRange(0), default=3, show_default=True, help="How many rows to show.")
@click.option("--limit", type=click.IntRange(1), help="The largest number of rows to read.")
@click.option("--ids", is_flag=True, help="Also show the token ids.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    spec: str, overrides: Sequence[str], rows: int, limit: int | None, ids: bool, as_json: bool
) -> int:
    """Show how the rows of SPEC become tokens.

    The command shows the tokens of the loss, the number of cut and refused rows, and the lengths. It shows each
    source of rows in turn. The exit code is 1 if a row is refused or if too many completions are cut.
    """
    shown: dict[str, Any] = {}
    bad = False
    compiled = built(spec, overrides)
    for name, part in _parts_of(compiled).items():
        if name and not as_json:
            between = "\n" if shown else ""
            click.echo(f"{between}{name}: {part.spec.job.data.kind}\n")
        seen, stop = _previewed(*_prepared(part), rows, limit)
        shown[name] = _as_json(seen, stop, ids)
        bad = _told(seen, stop, ids, as_json) or bad
    if as_json:
        click.echo(json.dumps(shown.get("", shown), ensure_ascii=False))
        return FINDINGS if bad else SOUND
    return FINDINGS if _distrusted(compiled) or bad else SOUND


def _distrusted(compiled: Compiled | Mixture) -> bool:
    """Probe a small local policy; tell what is not as usual, and return whether a run would stop there."""
    from alignc.doctor.trust import probed

    job, policy = compiled.folder().files[JOB], compiled.spec.job.model.policy
    if (
        not isinstance(policy, str)
        or sum(f.stat().st_size for f in Path(policy).glob("*.safetensors")) > LIGHT
    ):
        return False
    found = list(probed("", job, policy))
    for each in found:
        if each.state == "lacks":
            click.echo(
                f"\nmodel       {each.found}" + (f"\n            help: {each.help}" if each.help else "")
            )
        elif "padded:" in each.found or "own code" in each.found:
            click.echo(f"\nmodel       {each.found}")
    return any(each.state == "lacks" for each in found)


def _parts_of(compiled: Compiled | Mixture) -> Mapping[str, PartOfJob]:
    """Map the name of each source to its part; the only source of a spec has the empty name."""
    if isinstance(compiled, Mixture):
        return compiled.parts
    return {"": PartOfJob(compiled.spec, compiled.loss, compiled.needs, compiled.explanation)}


def _told(seen: Preview, stop: Any | None, ids: bool, as_json: bool) -> bool:
    """Print a preview unless JSON was asked for, and return whether the preview found a problem."""
    if not as_json:
        click.echo("\n".join(_lines(seen, ids, colored(sys.stdout))))
        _show_refusals(seen, stop)
    return bool(seen.refused or stop)


def _prepared(compiled: PartOfJob) -> tuple[DataSettings, Any]:
    from alignc.runtime.data import settings_from_job
    from alignc.runtime.data.tokenizer import load_tokenizer

    job = job_of(compiled.spec, compiled.loss, compiled.needs, compiled.explanation)
    return settings_from_job(job), load_tokenizer(job.spec.model, job.rows.chat_template)


def _previewed(
    settings: DataSettings, tokenizer: Any, rows: int, limit: int | None
) -> tuple[Preview, Any | None]:
    """Preview the rows, and return the failure that would stop a run at these rows, if there is one."""
    from alignc.contract.failure import Failure
    from alignc.runtime.data import preview
    from alignc.runtime.data.dataset import check_parts
    from alignc.runtime.data.judge import judge

    seen = preview(settings, tokenizer, rows=rows, limit=limit)
    try:
        check_parts(settings)
        judge(seen.counts, seen.refused, settings)
    except Failure as failure:
        return seen, failure
    return seen, None


def _show_refusals(seen: Preview, stop: Any | None) -> None:
    if stop is not None and not stop.causes and stop.code in {f.code for f in seen.refused}:
        # Every row has the same fault: it is shown once, at the first row.
        show_diagnostics([diagnostic(stop.as_dict())], {})
        return
    found = [diagnostic(f.as_dict()) for f in seen.refused[:SHOWN_REFUSALS]]
    if stop is not None:
        found.append(diagnostic(stop.as_dict()))
    if found:
        show_diagnostics(found, {})
    if len(seen.refused) > SHOWN_REFUSALS:
        more = _counted(len(seen.refused) - SHOWN_REFUSALS, "more refused row")
        click.echo(f"and {more}", err=True)


def _as_json(seen: Preview, stop: Any | None, ids: bool) -> dict[str, Any]:
    data = {**seen.as_dict(), "stops": None if stop is None else stop.as_dict()}
    for row in data["rows"] if not ids else ():
        del row["ids"]
    return data


def _lines(seen: Preview, ids: bool, color: bool) -> Iterator[str]:
    for row in seen.rows:
        counts = " | ".join(
            [
                f"prompt {len(row.prompt)} tok",
                *(f"{n} {len(t)} tok in the loss" for n, t in row.responses.items()),
            ]
        )
        yield f"{row.origin}   {counts}"
        yield from _parts({"prompt": row.prompt}, color, "bright_black")
        yield from _parts(row.responses, color, "green")
        yield from (
            f" {name:<{WIDTH}} {' '.join(map(str, tokens))}" for name, tokens in row.ids.items() if ids
        )
        yield ""
    yield from _summary(seen)


def _parts(parts: Mapping[str, Sequence[str]], color: bool, fg: str) -> Iterator[str]:
    for name, tokens in parts.items():
        text = "|".join(_visible(token) for token in tokens)
        yield f" {name:<{WIDTH}} " + (click.style(text, fg=fg) if color else f"[{text}]")


def _visible(token: str) -> str:
    shown = token.replace("\n", "⏎").replace("\t", "⇥")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in shown)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _summary(seen: Preview) -> Iterator[str]:
    c = seen.counts
    yield (
        f"rows      {c.rows} read, {c.kept} kept, {c.refused} refused; "
        f"{_counted(c.prompts_cut, 'prompt')} cut on the left, "
        f"{_counted(c.completions_cut, 'completion')} cut on the right"
    )
    if seen.unread:
        yield f"columns   not read: {', '.join(seen.unread)}"
    if seen.lengths:
        parts = [f"{name} p50 {q.p50}, p95 {q.p95}, max {q.max}" for name, q in seen.lengths.items()]
        yield f"lengths   {' | '.join(parts)} tokens"
    if seen.length_gap is not None:
        yield f"          mean chosen − rejected {seen.length_gap:+.1f} tokens"
    if c.kept:
        yield f"checks    {'; '.join(_noted(seen)) or _ALL_WELL}"


def _noted(seen: Preview) -> Iterator[str]:
    """Yield a warning for each kind of suspicious row, with the number of such rows."""
    found = (
        (seen.duplicates, "row that repeats another", "rows that repeat another"),
        (seen.identical, "row whose responses are the same", "rows whose responses are the same"),
        (seen.prefixes, "row where one response begins another", "rows where one response begins another"),
    )
    return (f"! {n} {one if n == 1 else many}" for n, one, many in found if n)

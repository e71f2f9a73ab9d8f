"""`alignc export`: write what a run trained as a folder that other programs read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from alignc.api import load
from alignc.diagnostics import Diagnostic, DiagnosticError, Span
from alignc.launch.inputs import digests
from alignc.launch.outputs import changed_inputs, inspect
from alignc.plan.show import gib

if TYPE_CHECKING:
    from alignc.runtime.export import Wanted
    from alignc.runtime.trained import Trained

__all__ = ["command"]

DTYPES = ("float32", "bfloat16", "float16", "float64")


def _checkpoint(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Take `best`, `last`, and a step as `4` or `step-4`."""
    text = (value or "").removeprefix("step-")
    if value is None or text in ("best", "last"):
        return value
    if not text.isdecimal():
        raise click.BadParameter(f"`{value}` is neither best, last nor a step")
    return str(int(text))


@click.command("export")
@click.argument("run", type=click.Path())
@click.option("-o", "--output", type=click.Path(file_okay=False), required=True, help="The folder to write.")
@click.option(
    "--checkpoint",
    callback=_checkpoint,
    metavar="best|last|STEP",
    help="Take a checkpoint, and not the final model.",
)
@click.option(
    "--merge/--no-merge",
    default=True,
    show_default=True,
    help="Merge an adapter into its base, or write it alone.",
)
@click.option("--dtype", type=click.Choice(DTYPES), help="Type of the weights; left out: the model's own.")
@click.option("--critic", is_flag=True, help="Write the critic too: `critic/`, or the value head's file.")
@click.option("--overwrite", is_flag=True, help="Replace the model that the folder holds.")
def command(
    run: str,
    output: str,
    checkpoint: str | None,
    merge: bool,
    dtype: str | None,
    critic: bool,
    overwrite: bool,
) -> None:
    """Write the model of RUN as a folder that `from_pretrained` reads, with tokenizer, card and resolved spec.

    RUN is an output folder, the spec of one, or a checkpoint. The final model is that of the best checkpoint where
    the spec chooses one. An adapter is merged in float32.
    """
    from alignc.runtime.export import Wanted, export
    from alignc.runtime.trained import find

    source = find(_folder(run), checkpoint)
    wanted = Wanted(Path(output), merge, dtype, critic, overwrite)
    _refuse(source, wanted)
    done = export(source, wanted)
    click.echo(f"wrote {done.folder}: the {done.kind} of step {done.step}, {done.dtype}, {gib(done.bytes)}")


def _folder(run: str) -> Path:
    """Take a spec for the folder it writes to."""
    return Path(load(run).job.output_dir) if Path(run).is_file() or "#" in run else Path(run)


def _refuse(source: Trained, wanted: Wanted) -> None:
    """Refuse what has no meaning for this run, and a base that is not what the adapter was trained on."""
    from alignc.runtime.export import has_critic

    model = source.job.spec.model
    if not wanted.merge and model.adapter is None:
        raise click.UsageError("--no-merge is for runs that train an adapter; this one trained all weights")
    if not wanted.merge and isinstance(model.policy, Mapping):
        raise click.UsageError("--no-merge: the adapter's base was made for the run and is saved nowhere")
    if wanted.critic and not has_critic(source.job):
        raise click.UsageError("--critic is for runs that train values; this one has none")
    if wanted.merge and model.adapter is not None and isinstance(model.policy, str):
        _refuse_other_base(source.run, model.policy)


def _refuse_other_base(run: Path, policy: str) -> None:
    existing = inspect(run)
    changed = existing and changed_inputs(existing, digests({"model": {"policy": policy}}))
    if changed:
        message = f"`{policy}` is not the model that the adapter was trained on: its content has changed"
        help_ = "train the adapter again, or write it alone with --no-merge"
        raise DiagnosticError(Diagnostic("E805", message, Span.at(policy), help=help_))

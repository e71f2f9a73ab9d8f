"""`alignc export`: write the trained model of a run into a folder that other programs read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from alignc.api import load
from alignc.contract.files import checkpoint_name
from alignc.diagnostics import Diagnostic, DiagnosticError, Span
from alignc.launch.inputs import digests
from alignc.launch.outputs import changed_inputs, inspect
from alignc.plan.show import gib

if TYPE_CHECKING:
    from alignc.runtime.after.export import Wanted
    from alignc.runtime.after.trained import Trained

__all__ = ["command"]

DTYPES = ("float32", "bfloat16", "float16", "float64")


def _checkpoint(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Return `best`, `last`, or a step that is written as `4` or `step-4`."""
    text = (value or "").removeprefix(checkpoint_name(""))
    if value is None or text in ("best", "last"):
        return value
    if not text.isdecimal():
        raise click.BadParameter(f"`{value}` is not `best`, `last` or a step")
    return str(int(text))


@click.command("export")
@click.argument("run", type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False),
    required=True,
    help="The folder that the model is written into.",
)
@click.option(
    "--checkpoint",
    callback=_checkpoint,
    metavar="best|last|STEP",
    help="Export this checkpoint instead of the final model.",
)
@click.option(
    "--merge/--no-merge",
    default=True,
    show_default=True,
    help="Merge the adapter into its base model, or write only the adapter.",
)
@click.option(
    "--dtype",
    type=click.Choice(DTYPES),
    help="Number format of the weights; by default the format of the model.",
)
@click.option(
    "--critic",
    is_flag=True,
    help="Also write the critic: the folder `critic/`, or the file of the value head.",
)
@click.option("--overwrite", is_flag=True, help="Replace the model in the output folder.")
def command(
    run: str,
    output: str,
    checkpoint: str | None,
    merge: bool,
    dtype: str | None,
    critic: bool,
    overwrite: bool,
) -> None:
    """Write the model of RUN into a folder that `from_pretrained` reads.

    The folder also holds the tokenizer, the model card and the resolved spec. RUN is an output folder, a spec or a
    checkpoint. If the spec chooses the best checkpoint, the final model is the model of this checkpoint. An adapter
    is merged in float32.
    """
    from alignc.runtime.after.export import Wanted, export
    from alignc.runtime.after.trained import find

    source = find(_folder(run), checkpoint)
    wanted = Wanted(Path(output), merge, dtype, critic, overwrite)
    _refuse(source, wanted)
    done = export(source, wanted)
    click.echo(f"wrote {done.folder}: the {done.kind} of step {done.step}, {done.dtype}, {gib(done.bytes)}")


def _folder(run: str) -> Path:
    """Return the output folder of a run; a spec names its output folder."""
    return Path(load(run).job.output_dir) if Path(run).is_file() or "#" in run else Path(run)


def _refuse(source: Trained, wanted: Wanted) -> None:
    """Refuse a flag that does not apply to this run, and a base model that the adapter was not trained on."""
    from alignc.runtime.after.export import has_critic

    model = source.job.spec.model
    if not wanted.merge and model.adapter is None:
        raise click.UsageError("--no-merge needs a run that trains an adapter; this run trained all weights")
    if not wanted.merge and isinstance(model.policy, Mapping):
        raise click.UsageError(
            "--no-merge needs a saved base model; the base model of this run was created for the run and was not saved"
        )
    if wanted.critic and not has_critic(source.job):
        raise click.UsageError("--critic needs a run that trains a critic; this run has no critic")
    if wanted.merge and model.adapter is not None and isinstance(model.policy, str):
        _refuse_other_base(source.run, model.policy)


def _refuse_other_base(run: Path, policy: str) -> None:
    existing = inspect(run)
    changed = existing and changed_inputs(existing, digests({"model": {"policy": policy}}))
    if changed:
        message = f"the content of `{policy}` has changed since the adapter was trained on it"
        help_ = "train the adapter again, or write only the adapter with --no-merge"
        raise DiagnosticError(Diagnostic("E805", message, Span.at(policy), help=help_))

"""The Python interface: one function a command, each returning a typed object."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignc.checks import check
from alignc.diagnostics import Diagnostic, DiagnosticError, apply_waivers, in_reading_order
from alignc.emit import JobFolder, job_folder, write
from alignc.explain import Explanation, explanation
from alignc.graph.loss import Loss
from alignc.graph.lower import lower
from alignc.graph.point import at_point
from alignc.plan import Needs, needs
from alignc.spec.load import Loaded, load
from alignc.spec.paths import missing_files

if TYPE_CHECKING:
    from alignc.diff import Difference
    from alignc.verify import Verified

__all__ = [
    "Compiled",
    "Ran",
    "Report",
    "compile",
    "diff",
    "evaluate",
    "explain",
    "load",
    "lowered",
    "run",
    "validate",
    "verify",
]

Spec = str | PathLike[str]


@dataclass(frozen=True)
class Report:
    """What `validate` found in a spec, and the texts to show it with."""

    diagnostics: tuple[Diagnostic, ...]
    texts: Mapping[str, str]

    @property
    def sound(self) -> bool:
        """Whether there is no error."""
        return all(d.severity != "error" for d in self.diagnostics)


@dataclass(frozen=True)
class Compiled:
    """A spec that has been lowered: its loss, what it needs, what it says and what is wrong with it."""

    spec: Loaded
    loss: Loss
    needs: Needs
    explanation: Explanation
    warnings: tuple[Diagnostic, ...]

    def folder(self, *, standalone: bool = False) -> JobFolder:
        """Emit the job folder."""
        return job_folder(self.spec, self.loss, self.needs, self.explanation, standalone=standalone)


def validate(path: Spec, overrides: Sequence[str] = ()) -> Report:
    """Check a spec without opening data or models. Never raises for what is wrong with it."""
    texts = {**_texts(path), **({"--set": "\n".join(overrides)} if overrides else {})}
    try:
        spec = load(Path(path), overrides)
        texts = {**texts, **spec.document.texts}
        found = [*missing_files(spec.job, spec.document), *check(spec, lower(spec))]
    except DiagnosticError as error:
        found = list(error.diagnostics)
        texts = {**texts, **{k: t for d in found for k, t in _texts(d.span.file).items()}}
    return Report(tuple(in_reading_order(apply_waivers(found, texts))), texts)


def _texts(path: Spec) -> dict[str, str]:
    try:
        return {str(path): Path(path).read_text("utf-8")}
    except (OSError, UnicodeDecodeError):
        return {}


def lowered(path: Spec, overrides: Sequence[str] = (), *, files: bool = True) -> Compiled:
    """Load, lower and check a spec. Raises DiagnosticError for errors; warnings come with the result.

    `files`: whether a file that the spec names and that is not there is an error.
    """
    spec = load(Path(path), overrides)
    loss = lower(spec)
    absent = missing_files(spec.job, spec.document)
    found = apply_waivers([*(absent if files else []), *check(spec, loss)], spec.document.texts)
    if any(d.severity == "error" for d in found):
        raise DiagnosticError(in_reading_order(found))
    wanted = needs(loss, spec.job)
    warnings = in_reading_order([*found, *([] if files else absent)])
    return Compiled(spec, loss, wanted, explanation(spec, loss, wanted), tuple(warnings))


def explain(path: Spec, overrides: Sequence[str] = ()) -> Explanation:
    """Explain a spec's loss."""
    return lowered(path, overrides, files=False).explanation


def evaluate(path: Spec, point: Mapping[str, Any], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Evaluate a spec's loss and gradient at given examples, in float64."""
    compiled = lowered(path, overrides, files=False)
    return at_point(compiled.loss, point)


def diff(a: Spec, b: Spec, set_a: Sequence[str] = (), set_b: Sequence[str] = ()) -> Difference:
    """Compare what two specs mean: the verdict on their losses, what proves it, and what changes."""
    from alignc.diff import compare

    first, second = (lowered(p, o, files=False) for p, o in ((a, set_a), (b, set_b)))
    return compare((first.spec, first.loss, first.needs), (second.spec, second.loss, second.needs))


def verify(path: Spec, overrides: Sequence[str] = (), *, table: bool = False) -> Verified:
    """Test what is said of a spec's loss on a policy small enough to enumerate; `table`: every KL estimator too."""
    from alignc.verify import verify as verified

    compiled = lowered(path, overrides, files=False)
    return verified(compiled.spec, compiled.loss, table=table)


def compile(  # noqa: A001
    path: Spec, target: Spec, overrides: Sequence[str] = (), *, standalone: bool = False
) -> JobFolder:
    """Write the job folder of a spec."""
    folder = lowered(path, overrides, files=False).folder(standalone=standalone)
    write(folder, Path(target))
    return folder


@dataclass(frozen=True)
class Ran:
    """How a run ended: its exit code, what it did, and its findings in the shape of `validate`'s JSON."""

    exit_code: int
    action: str
    output_dir: str
    diagnostics: tuple[Mapping[str, Any], ...] = ()


def run(
    path: Spec,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    overwrite: bool = False,
    max_steps: int | None = None,
    limit: int | None = None,
    show: Callable[[str], None] = print,
) -> Ran:
    """Compile a spec into `output_dir/job` and run it to its end.

    A finished run of the same spec and inputs is up to date. Raises DiagnosticError for a spec with errors, and
    E603 or E604 where `output_dir` holds something else. `max_steps` and `limit` (rows) bound a smoke run.
    """
    from alignc import launch

    compiled = lowered(path, overrides)
    folder, output = compiled.folder(), Path(compiled.spec.job.output_dir)
    job = json.loads(folder.files["job.json"])
    identity = launch.fingerprint(job, folder.files["loss.py"], max_steps=max_steps, limit=limit)
    wanted = launch.settings(job, max_steps, limit)
    decision = launch.decide(
        launch.inspect(output), identity, resume=resume, overwrite=overwrite, settings=wanted
    )
    if decision.action == "refuse":
        span = compiled.spec.document.span(("output_dir",))
        code, why, way_out = str(decision.code), decision.why, decision.help
        raise DiagnosticError(Diagnostic(code, decision.message, span, why=why, help=way_out))
    if decision.action == "up_to_date":
        return Ran(0, decision.action, str(output))
    if decision.action == "start":
        launch.clear(output)
    write(folder, output / "job")
    ended = launch.launch(
        output / "job",
        fingerprint=identity,
        show=show,
        resume=decision.action == "resume",
        max_steps=max_steps,
        limit=limit,
    )
    return Ran(ended.exit_code, decision.action, str(output), ended.diagnostics)

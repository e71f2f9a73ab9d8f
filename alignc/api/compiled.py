"""From the file of a spec to its loss, its needs and its explanation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from alignc.checks import check
from alignc.contract.files import MODEL
from alignc.contract.job import Job
from alignc.contract.needs import LossNeeds
from alignc.diagnostics import Diagnostic, DiagnosticError, apply_waivers, did_you_mean, in_reading_order
from alignc.load.load import Loaded, load
from alignc.load.local import absent_models
from alignc.load.parts import parts
from alignc.load.paths import missing_files
from alignc.load.pipeline import stages
from alignc.lower.loss import Loss
from alignc.lower.lower import lower
from alignc.lower.mixture import lower_parts
from alignc.plan import needs

if TYPE_CHECKING:  # `validate` neither explains nor emits
    from alignc.emit import JobFolder
    from alignc.emit.mixture import PartOfJob
    from alignc.explain import Explanation
    from alignc.explain.mixture import Mixed

__all__ = ["Compiled", "Mixture", "Report", "Spec", "built", "lowered", "specs_of", "validate"]

Spec = str | PathLike[str]


@dataclass(frozen=True)
class Report:
    """The findings of `validate` in a spec, and the texts of its files."""

    diagnostics: tuple[Diagnostic, ...]
    texts: Mapping[str, str]

    @property
    def sound(self) -> bool:
        """Whether the spec has no error."""
        return all(d.severity != "error" for d in self.diagnostics)


@dataclass(frozen=True)
class Compiled:
    """A lowered spec: its loss, its needs, its explanation and its warnings."""

    spec: Loaded
    loss: Loss
    needs: LossNeeds
    explanation: Explanation
    warnings: tuple[Diagnostic, ...]

    @property
    def whole(self) -> tuple[Loaded, Loss, LossNeeds, Explanation]:
        """The inputs of the emission of a job."""
        return self.spec, self.loss, self.needs, self.explanation

    @property
    def job(self) -> Job:
        """The resolved job, which `job.json` holds."""
        from alignc.emit.job_json import job_of

        return job_of(*self.whole)

    def folder(self, *, standalone: bool = False) -> JobFolder:
        """Emit the job folder."""
        from alignc.emit import job_folder

        return job_folder(*self.whole, standalone=standalone)


@dataclass(frozen=True)
class Mixture:
    """A spec of several sources: one loss for the rows of each source; training lowers the sum of the losses."""

    spec: Loaded
    parts: Mapping[str, PartOfJob]
    explanation: Mixed
    warnings: tuple[Diagnostic, ...]

    @property
    def whole(self) -> tuple[Loaded, Mapping[str, PartOfJob], Mixed]:
        """The inputs of the emission of a job."""
        return self.spec, self.parts, self.explanation

    @property
    def losses(self) -> dict[str, Loss]:
        """The loss of each source."""
        return {name: part.loss for name, part in self.parts.items()}

    @property
    def job(self) -> Job:
        """The resolved job, which `job.json` holds."""
        from alignc.emit.mixture import mixed_job

        return mixed_job(self.spec, self.parts, self.explanation)

    def folder(self, *, standalone: bool = False) -> JobFolder:
        """Emit the job folder."""
        from alignc.emit.mixture import mixed_folder

        return mixed_folder(*self.whole, standalone=standalone)


def specs_of(path: Spec) -> list[str]:
    """List the specs of a file: the stages of a pipeline as arguments of `load`, else the file itself."""
    listed = stages(str(path))
    return [str(path)] if listed is None else [stage.spec for stage in listed]


def validate(path: Spec, overrides: Sequence[str] = (), beside: Sequence[Spec] = ()) -> Report:
    """Check a spec, or each stage of a pipeline, without opening data or models. Errors are returned, not raised.

    `beside` lists other specs whose models may exist when this spec runs.
    """
    try:
        specs = specs_of(path)
        others = [*specs, *(spec for other in beside for spec in specs_of(other))]
        reports = [_validated(spec, overrides, others) for spec in specs]
    except DiagnosticError as error:
        reports = [Report(tuple(in_reading_order(error.diagnostics)), _texts(path))]
    found = in_reading_order({d for report in reports for d in report.diagnostics})
    return Report(tuple(found), {name: text for report in reports for name, text in report.texts.items()})


def _validated(path: Spec, overrides: Sequence[str], others: Sequence[Spec]) -> Report:
    texts = {**_texts(path), **({"--set": "\n".join(overrides)} if overrides else {})}
    try:
        spec = load(Path(path), overrides)
        texts = {**texts, **spec.document.texts}
        absent = [*missing_files(spec.job, spec.document), *_absent_models(spec, others)]
        found = [*absent, *_checked(_losses(spec))]
    except DiagnosticError as error:
        found = list(error.diagnostics)
        texts = {**texts, **{k: t for d in found for k, t in _texts(d.span.file).items()}}
    return Report(tuple(in_reading_order(apply_waivers(found, texts))), texts)


def _absent_models(spec: Loaded, others: Sequence[Spec]) -> list[Diagnostic]:
    """Warn of missing local models: `validate` does not need these models, but `run` does."""
    data = spec.job.model_dump()
    if not list(absent_models(data, spec.document, (), "W613")):
        return []
    return list(absent_models(data, spec.document, set(_outputs(others)), "W613"))


def _outputs(specs: Sequence[Spec]) -> Iterator[str]:
    for spec in specs:
        with suppress(DiagnosticError):
            yield str(Path(load(Path(spec)).job.output_dir) / MODEL)


def _texts(path: Spec) -> dict[str, str]:
    try:
        return {str(path): Path(path).read_text("utf-8")}
    except (OSError, UnicodeDecodeError):
        return {}


def _losses(spec: Loaded) -> list[tuple[Loaded, Loss]]:
    """Lower a spec, or its part for each of several sources."""
    several = parts(spec)
    if not several:
        return [(spec, lower(spec.lookup))]
    losses = lower_parts({name: part.lookup for name, part in several.items()})
    return [(part, losses[name]) for name, part in several.items()]


def _checked(losses: Sequence[tuple[Loaded, Loss]]) -> list[Diagnostic]:
    every = [loss for _, loss in losses]
    found = [finding for part, loss in losses for finding in check(part, loss, every)]
    return list(dict.fromkeys(found))  # what is said of a run as a whole is said once


def lowered(
    path: Spec, overrides: Sequence[str] = (), *, files: bool = True, source: str | None = None
) -> Compiled:
    """Load, lower and check a spec of one source, or the part for one `source` of several.

    Raises DiagnosticError for errors, and E113 where there are several sources and none of them is named. Warnings
    come with the result. `files`: whether a file that the spec names and that is not there is an error.
    """
    found = built(path, overrides, files=files)
    parts = found.parts if isinstance(found, Mixture) else {}
    if isinstance(found, Compiled) and source is None:
        return found
    if source is not None and source in parts:
        part = parts[source]
        return Compiled(part.spec, part.loss, part.needs, part.explanation, found.warnings)
    document, named = found.spec.document, ", ".join(parts)
    if not parts:
        message = f"there is no source `{source}`: this spec has only one source of rows, which has no name"
        raise DiagnosticError(Diagnostic("E113", message, document.span(("data",), of_key=True)))
    message = f"this command needs one source of rows, but the spec has {named}"
    if source is not None:
        guess = did_you_mean(source, parts)
        message = f"there is no source `{source}`" + (f", did you mean `{guess}`?" if guess else f": {named}")
    span = document.span(("data", "sources"), of_key=True)
    raise DiagnosticError(
        Diagnostic("E113", message, span, help=f"name one source: --source {next(iter(parts))}")
    )


def built(path: Spec, overrides: Sequence[str] = (), *, files: bool = True) -> Compiled | Mixture:
    """Load, lower and check a spec, of one source or of several. Raises DiagnosticError for errors.

    Warnings come with the result. `files`: whether a file that the spec names and that is not there is an error.
    """
    spec = load(Path(path), overrides)
    losses = _losses(spec)
    absent = missing_files(spec.job, spec.document)
    found = apply_waivers([*(absent if files else []), *_checked(losses)], spec.document.texts)
    if any(d.severity == "error" for d in found):
        raise DiagnosticError(in_reading_order(found))
    warnings = tuple(in_reading_order([*found, *([] if files else absent)]))
    made = [_explained(part, loss) for part, loss in losses]
    if losses[0][0] is spec:
        return Compiled(spec, made[0].loss, made[0].needs, made[0].explanation, warnings)
    from alignc.explain.mixture import mixed

    together = mixed(spec.job, {n: p.explanation for n, p in zip(parts(spec), made, strict=True)})
    own = zip(together.sources.items(), made, strict=True)
    named = {name: replace(part, explanation=explained) for (name, explained), part in own}
    return Mixture(spec, named, together, warnings)


def _explained(spec: Loaded, loss: Loss) -> PartOfJob:
    from alignc.emit.mixture import PartOfJob
    from alignc.explain import explanation

    wanted = needs(loss, spec.job, spec.whole.job if spec.whole else None)
    return PartOfJob(spec, loss, wanted, explanation(spec, loss, wanted))

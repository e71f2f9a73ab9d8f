"""The Python interface: one function a command, each returning a typed object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alignc.checks import check
from alignc.diagnostics import Diagnostic, DiagnosticError, apply_waivers, in_reading_order
from alignc.emit import JobFolder, job_folder, write
from alignc.emit.mixture import PartOfJob, mixed_folder
from alignc.explain import Explanation, explanation
from alignc.explain.mixture import Mixed, mixed
from alignc.graph.loss import Loss
from alignc.graph.lower import lower
from alignc.graph.mixture import lower_parts
from alignc.graph.point import at_mixture, at_point
from alignc.plan import Needs, needs
from alignc.spec.load import Loaded, load
from alignc.spec.parts import parts
from alignc.spec.paths import missing_files
from alignc.spec.pipeline import producers, stages

if TYPE_CHECKING:
    from alignc.diff import Difference
    from alignc.launch import Assessment, Options, Stage
    from alignc.plan.build import Plan
    from alignc.verify import Verified

__all__ = [
    "Compiled",
    "Mixture",
    "Ran",
    "Report",
    "built",
    "compile",
    "diff",
    "evaluate",
    "explain",
    "load",
    "lowered",
    "plan",
    "planned",
    "run",
    "run_stages",
    "specs_of",
    "staged",
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

    @property
    def whole(self) -> tuple[Loaded, Loss, Needs, Explanation]:
        """All that a job is emitted from."""
        return self.spec, self.loss, self.needs, self.explanation

    def folder(self, *, standalone: bool = False) -> JobFolder:
        """Emit the job folder."""
        return job_folder(*self.whole, standalone=standalone)


@dataclass(frozen=True)
class Mixture:
    """A spec of several sources: a loss for the rows of each, as if it stood alone; their sum is trained."""

    spec: Loaded
    parts: Mapping[str, PartOfJob]
    explanation: Mixed
    warnings: tuple[Diagnostic, ...]

    @property
    def losses(self) -> dict[str, Loss]:
        """The loss of each source."""
        return {name: part.loss for name, part in self.parts.items()}

    def folder(self, *, standalone: bool = False) -> JobFolder:
        """Emit the job folder."""
        return mixed_folder(self.spec, self.parts, self.explanation, standalone=standalone)


def specs_of(path: Spec) -> list[str]:
    """List the specs that a file stands for: the stages of a pipeline as `load` takes them, else itself."""
    listed = stages(str(path))
    return [str(path)] if listed is None else [stage.spec for stage in listed]


def validate(path: Spec, overrides: Sequence[str] = (), beside: Sequence[Spec] = ()) -> Report:
    """Check a spec, or every stage of a pipeline, without opening data or models. Never raises for what is wrong.

    `beside` are other specs whose models may be there by the time that this one runs.
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
    """Warn of local models that are not there: whoever validates need not have them, whoever runs must."""
    from alignc.launch.absent import absent_models

    data = spec.job.model_dump()
    if not list(absent_models(data, spec.document, (), "W613")):
        return []
    return list(absent_models(data, spec.document, set(_outputs(others)), "W613"))


def _outputs(specs: Sequence[Spec]) -> Iterator[str]:
    for spec in specs:
        with suppress(DiagnosticError):
            yield str(Path(load(Path(spec)).job.output_dir) / "model")


def _texts(path: Spec) -> dict[str, str]:
    try:
        return {str(path): Path(path).read_text("utf-8")}
    except (OSError, UnicodeDecodeError):
        return {}


def _losses(spec: Loaded) -> list[tuple[Loaded, Loss]]:
    """Lower a spec, or its part for each of several sources."""
    several = parts(spec)
    if not several:
        return [(spec, lower(spec))]
    losses = lower_parts(several)
    return [(part, losses[name]) for name, part in several.items()]


def _checked(losses: Sequence[tuple[Loaded, Loss]]) -> list[Diagnostic]:
    every = [loss for _, loss in losses]
    found = [finding for part, loss in losses for finding in check(part, loss, every)]
    return list(dict.fromkeys(found))  # what is said of a run as a whole is said once


def lowered(path: Spec, overrides: Sequence[str] = (), *, files: bool = True) -> Compiled:
    """Load, lower and check a spec of one source. Raises DiagnosticError for errors, and E113 for several sources.

    Warnings come with the result. `files`: whether a file that the spec names and that is not there is an error.
    """
    found = built(path, overrides, files=files)
    if isinstance(found, Compiled):
        return found
    span = found.spec.document.span(("data", "sources"), of_key=True)
    named = ", ".join(found.parts)
    raise DiagnosticError(Diagnostic("E113", f"this takes a spec of one source, and here are {named}", span))


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
    together = mixed(spec.job, {n: p.explanation for n, p in zip(parts(spec), made, strict=True)})
    own = zip(together.sources.items(), made, strict=True)
    named = {name: replace(part, explanation=explained) for (name, explained), part in own}
    return Mixture(spec, named, together, warnings)


def _explained(spec: Loaded, loss: Loss) -> PartOfJob:
    wanted = needs(loss, spec.job, spec.whole.job if spec.whole else None)
    return PartOfJob(spec, loss, wanted, explanation(spec, loss, wanted))


def explain(path: Spec, overrides: Sequence[str] = ()) -> Explanation | Mixed:
    """Explain a spec's loss, or those of its sources."""
    return built(path, overrides, files=False).explanation


def evaluate(path: Spec, point: Mapping[str, Any], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Evaluate a spec's loss and gradient at given examples, in float64."""
    compiled = built(path, overrides, files=False)
    return (
        at_point(compiled.loss, point)
        if isinstance(compiled, Compiled)
        else at_mixture(compiled.losses, point)
    )


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
    folder = built(path, overrides, files=False).folder(standalone=standalone)
    write(folder, Path(target))
    return folder


@dataclass(frozen=True)
class Planned:
    """A spec's plan, warnings, and what refuses it (E606), if anything does."""

    plan: Plan
    warnings: tuple[Diagnostic, ...]
    refusal: Diagnostic | None
    texts: Mapping[str, str]


def plan(path: Spec, overrides: Sequence[str] = (), *, memory: int | None = None) -> Plan:
    """Plan a spec: what it will take, before a model is loaded. `memory`: bytes that a process may use."""
    return planned(path, overrides, memory=memory).plan


def planned(
    path: Spec,
    overrides: Sequence[str] = (),
    *,
    memory: int | None = None,
    parameters: int | None = None,
    read_data: bool = True,
) -> Planned:
    """Plan a spec, and refuse what cannot fit. `parameters`: the size of models that are not here."""
    from alignc.launch.planning import plan_of
    from alignc.plan.fit import refusal
    from alignc.plan.machine import Memory, of_machine

    compiled = lowered(path, overrides, files=False)
    processes = compiled.spec.job.launch.num_processes
    given = of_machine(processes) if memory is None else Memory(memory, "as given")
    found = plan_of(compiled.whole, read_data=read_data, given=parameters, memory=given)
    document = compiled.spec.document
    return Planned(
        found, compiled.warnings, refusal(found, document.span(("model", "policy"))), document.texts
    )


@dataclass(frozen=True)
class Ran:
    """How a run ended: its exit code, what it did, and its findings in the shape of `validate`'s JSON."""

    exit_code: int
    action: str
    output_dir: str
    diagnostics: tuple[Mapping[str, Any], ...] = ()
    spec: str = ""


def run(
    path: Spec,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    overwrite: bool = False,
    max_steps: int | None = None,
    limit: int | None = None,
    allow_functions: Sequence[str] = (),
    allow_hosts: Sequence[str] = (),
    show: Callable[[str], None] = print,
) -> Ran:
    """Compile a spec into `output_dir/job` and run it to its end; of a pipeline, every stage, and tell of the last.

    A finished run of the same spec and inputs is up to date. Raises DiagnosticError for a spec with errors, E609
    where a model that another spec makes is not there, and E603 or E604 where `output_dir` holds something else.
    `max_steps` and `limit` (rows) bound a smoke run; `allow_functions` and `allow_hosts` add to `alignc.toml`.
    """
    *_, last = run_stages(
        [path],
        overrides,
        resume=resume,
        overwrite=overwrite,
        max_steps=max_steps,
        limit=limit,
        allow_functions=allow_functions,
        allow_hosts=allow_hosts,
        show=show,
    )
    return last


def run_stages(
    paths: Sequence[Spec],
    overrides: Sequence[str] = (),
    *,
    with_stages: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    max_steps: int | None = None,
    limit: int | None = None,
    allow_functions: Sequence[str] = (),
    allow_hosts: Sequence[str] = (),
    show: Callable[[str], None] = print,
) -> Iterator[Ran]:
    """Run specs and pipelines, each after those whose models it starts from; yields how each ended, up to a failure.

    Everything is compiled and checked before the first one starts, and functions that are allowed are loaded in
    processes of their own (E612). What is finished and unchanged, by content, is
    skipped; among several stages `overwrite` is for those that are out of date alone. `with_stages` takes in the
    specs behind every `{run: …}`, as they are written: overrides and bounds are for `paths`.
    """
    from alignc import launch

    functions, hosts = tuple(allow_functions), tuple(allow_hosts)
    options = launch.Options(
        resume, overwrite, max_steps=max_steps, limit=limit, functions=functions, hosts=hosts
    )
    ahead = staged(paths, overrides, options, with_stages=with_stages)
    if found := launch.refusals(ahead) or launch.unloadable(ahead):
        raise DiagnosticError(found)
    for number, each in enumerate(ahead, 1):
        settled = launch.assess(each.stage) if each.after else each
        if len(ahead) > 1:
            show(f"── {each.stage.spec} ({number} of {len(ahead)}): {launch.reason(settled)}")
        ended = launch.run_stage(settled, show)
        output = str(each.stage.output)
        yield Ran(ended.exit_code, settled.decision.action, output, ended.diagnostics, each.stage.spec)
        if ended.exit_code:
            return


def staged(
    paths: Sequence[Spec], overrides: Sequence[str], options: Options, *, with_stages: bool = False
) -> tuple[Assessment, ...]:
    """Compile specs, put them in order, and say what is to be done about each; starts nothing.

    Raises DiagnosticError with what is wrong with any of them, E609 where a model that another spec makes is not
    there and that spec is not among them, E008 where any other local model is not there, and E610 or E611 for
    functions and hosts that nobody allowed. What can be refused besides is for `launch.refusals`.
    """
    from alignc import launch

    named = list(dict.fromkeys(spec for path in paths for spec in specs_of(path)))
    many = len(named) > 1 or with_stages
    compiled = _all_compiled(named, overrides, replace(options, keep=many))
    if with_stages:
        compiled += _makers(compiled, replace(options, keep=True, max_steps=None, limit=None))
    ordered = launch.ordered(compiled)
    if found := [*launch.untrained(ordered), *launch.disallowed(ordered)]:
        raise DiagnosticError(in_reading_order(found))
    return launch.prospects(ordered)


def _all_compiled(specs: Sequence[str], overrides: Sequence[str], options: Options) -> list[Stage]:
    compiled: list[Stage] = []
    found: list[Diagnostic] = []
    for spec in specs:
        try:
            compiled.append(_stage(spec, overrides, options))
        except DiagnosticError as error:
            found += error.diagnostics
    if found:
        raise DiagnosticError(in_reading_order(set(found)))
    return compiled


def _stage(spec: str, overrides: Sequence[str], options: Options) -> Stage:
    from alignc.launch import Stage
    from alignc.launch.planning import unfit

    found = built(spec, overrides)
    document = found.spec.document
    refused = unfit(found.whole) if isinstance(found, Compiled) else None  # a mixture is not planned
    return Stage(spec, document, found.folder(), options, producers(document), refused)


def _makers(compiled: Sequence[Stage], options: Options) -> list[Stage]:
    """Compile the specs behind every `{run: …}`, and those behind theirs."""
    known = {stage.output for stage in compiled}
    waiting = [maker for stage in compiled for maker in stage.makers.values()]
    found: list[Stage] = []
    while waiting:
        [stage] = _all_compiled([waiting.pop(0)], (), options)
        if stage.output not in known:
            known.add(stage.output)
            found.append(stage)
            waiting += stage.makers.values()
    return found

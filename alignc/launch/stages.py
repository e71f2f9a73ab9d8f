"""Several runs as one build: their order, the stages that are out of date, and missing models."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alignc.contract.files import JOB, JOB_FOLDER, MODEL
from alignc.diagnostics import Diagnostic, DiagnosticError
from alignc.emit import JobFolder, write
from alignc.launch.allow import Permissions, environment, forbidden, modules, permissions
from alignc.launch.inputs import digests
from alignc.launch.outputs import Decision, changed_inputs, clear, decide, fingerprint, inspect, settings
from alignc.launch.process import launch
from alignc.launch.verdict import Outcome
from alignc.load.document import Document
from alignc.load.local import absent_models, is_model, model_folders
from alignc.yaml.source import NodePath

__all__ = [
    "Assessment",
    "Options",
    "Stage",
    "assess",
    "disallowed",
    "ordered",
    "prospects",
    "reason",
    "refusal",
    "refusals",
    "run_stage",
    "untrained",
]


@dataclass(frozen=True)
class Options:
    """The options of a run; `keep` limits --overwrite to stages that are out of date.

    `functions` and `hosts` are allowed in addition to those of `alignc.toml`.
    """

    resume: bool = False
    overwrite: bool = False
    keep: bool = False
    max_steps: int | None = None
    limit: int | None = None
    functions: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """A compiled spec among others. `makers` maps the path of each `{run: …}` to its spec.

    `unfit` is the diagnostic (E606) if the stage surely cannot run on this machine.
    """

    spec: str
    document: Document
    folder: JobFolder
    options: Options
    makers: Mapping[NodePath, str]
    unfit: Diagnostic | None = None

    @property
    def job(self) -> dict[str, Any]:
        """The content of the `job.json` of this stage."""
        job: dict[str, Any] = json.loads(self.folder.files[JOB])
        return job

    @property
    def output(self) -> Path:
        """The `output_dir` of this stage."""
        return Path(self.job["spec"]["output_dir"])

    @property
    def allowed(self) -> Permissions:
        """The permissions of this stage."""
        return permissions(self.document.file, self.options.functions, self.options.hosts)

    @property
    def reads(self) -> dict[str, str]:
        """The local models that this stage starts from, by setting."""
        return model_folders(self.job["spec"])


@dataclass(frozen=True)
class Assessment:
    """The decision about a stage, the identity of its run, and earlier stages that may change the decision."""

    stage: Stage
    decision: Decision
    fingerprint: str
    inputs: Mapping[str, str]
    changed: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether the stage will run, as far as is known before the earlier stages have run."""
        return self.decision.action in ("start", "resume") or bool(self.after)


def ordered(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """Sort stages so that each stage comes after the stages whose models it starts from, else in the given order.

    Raises DiagnosticError: E603 if two stages write to one `output_dir`, E001 if stages depend on each other.
    """
    _refuse_shared(stages)
    makers = {str(stage.output / MODEL): stage for stage in stages}
    left, done = list(stages), list[Stage]()
    while left:
        ready = [s for s in left if not any(makers.get(path) in left for path in s.reads.values())]
        if not ready:
            names = ", ".join(f"`{s.spec}`" for s in left)
            span = left[0].document.span(("model", "policy"))
            raise DiagnosticError(Diagnostic("E001", f"{names} depend on each other's models", span))
        done.append(ready[0])
        left.remove(ready[0])
    return tuple(done)


def _refuse_shared(stages: Sequence[Stage]) -> None:
    seen: dict[Path, Stage] = {}
    for stage in stages:
        first = seen.setdefault(stage.output, stage)
        if first is not stage:
            message = f"`{first.spec}` and `{stage.spec}` write to the same `output_dir`"
            span = stage.document.span(("output_dir",))
            raise DiagnosticError(
                Diagnostic("E603", message, span, help="give each stage its own `output_dir`")
            )


def untrained(stages: Sequence[Stage]) -> list[Diagnostic]:
    """List the missing models of stages: E609 if another spec trains the model, else E008."""
    coming = {str(stage.output / MODEL) for stage in stages}
    absent = [d for stage in stages for d in absent_models(stage.job["spec"], stage.document, coming, "E008")]
    return absent + [
        _untrained(stage, place, maker)
        for stage in stages
        for place, maker in stage.makers.items()
        if (path := _reads_at(stage, place)) and path not in coming and not is_model(Path(path))
    ]


def disallowed(stages: Sequence[Stage]) -> list[Diagnostic]:
    """List the functions and hosts that are not allowed (E610, E611)."""
    asking = [(stage, stage.job["spec"]) for stage in stages]
    return [d for stage, spec in asking for d in forbidden(spec, stage.document, stage.allowed)]


def _reads_at(stage: Stage, place: NodePath) -> str | None:
    return stage.reads.get(".".join(map(str, place)))


def _untrained(stage: Stage, place: NodePath, maker: str) -> Diagnostic:
    help_ = f"run `alignc run {maker}` first, or `alignc run --with-stages {stage.spec}`"
    message = f"the model of `{maker}` does not exist yet"
    return Diagnostic("E609", message, stage.document.span((*place, "run")), help=help_)


def assess(stage: Stage) -> Assessment:
    """Decide about a stage with its present inputs."""
    job, options = stage.job, stage.options
    inputs = digests(job["spec"]) | modules(job["spec"], stage.document)
    bounds = (options.max_steps, options.limit)
    loss = stage.folder.files["loss.py"]
    identity = fingerprint(job, loss, max_steps=bounds[0], limit=bounds[1], inputs=inputs)
    existing = inspect(stage.output)
    decision = decide(
        existing,
        identity,
        resume=options.resume,
        overwrite=options.overwrite,
        keep=options.keep,
        settings=settings(job, *bounds),
        inputs=inputs,
    )
    changed = tuple(changed_inputs(existing, inputs)) if existing else ()
    return Assessment(stage, decision, identity, inputs, changed)


def prospects(stages: Sequence[Stage]) -> tuple[Assessment, ...]:
    """Assess stages in their order; a stage that needs a model of an earlier stage is decided after that stage."""
    found: list[Assessment] = []
    for stage in stages:
        coming = {str(a.stage.output / MODEL): a.stage.spec for a in found if a.runs}
        after = tuple(coming[path] for path in stage.reads.values() if path in coming)
        found.append(replace(assess(stage), after=after))
    return tuple(found)


def refusals(found: Sequence[Assessment]) -> list[Diagnostic]:
    """List the refusals that are known before any stage runs."""
    unfit = [a.stage.unfit for a in found if a.runs and a.stage.unfit]
    return unfit + [refusal(a) for a in found if a.decision.action == "refuse" and not a.after]


def refusal(found: Assessment) -> Diagnostic:
    """Make the diagnostic about an output folder that holds another run."""
    decision = found.decision
    span = found.stage.document.span(("output_dir",))
    anew = [f"`{maker}` has written `{key}` again" for key, maker in _made(found.stage, found.changed)]
    why = "; ".join([*([decision.why] if decision.why else []), *anew]) or None
    return Diagnostic(str(decision.code), decision.message, span, why=why, help=decision.help)


def run_stage(found: Assessment, show: Callable[[str], None]) -> Outcome:
    """Carry out the decision about a stage. Raises DiagnosticError (E603, E604) if the decision is to refuse."""
    stage, action, options = found.stage, found.decision.action, found.stage.options
    if action == "refuse":
        raise DiagnosticError(refusal(found))
    if action == "up_to_date":
        return Outcome(0)
    if action == "start":
        clear(stage.output)
    write(stage.folder, stage.output / JOB_FOLDER)
    return launch(
        stage.output / JOB_FOLDER,
        fingerprint=found.fingerprint,
        inputs=found.inputs,
        show=show,
        resume=action == "resume",
        max_steps=options.max_steps,
        limit=options.limit,
        permitted=environment(stage.job["spec"], stage.document, stage.allowed),
    )


def reason(found: Assessment) -> str:
    """Return the reason why a stage runs or does not run."""
    decision, stage = found.decision, found.stage
    if decision.action == "up_to_date":
        return "up to date: its spec, data and models are unchanged"
    if decision.action == "resume":
        return "unfinished: it continues from its newest checkpoint"
    made = [f"`{key}` (trained by {maker})" for key, maker in _made(stage, found.changed)]
    others = [
        f"`{key}` ({_short(stage, key)})"
        for key in found.changed
        if key not in dict(_made(stage, found.changed))
    ]
    if made or others:
        return f"out of date: the content of {', '.join([*made, *others])} has changed"
    if decision.why:
        return f"out of date: {decision.why}"
    return "starts again" if stage.options.overwrite and inspect(stage.output) else "not run yet"


def _made(stage: Stage, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    makers = {".".join(map(str, place)): maker for place, maker in stage.makers.items()}
    yield from ((key, makers[key]) for key in keys if key in makers)


def _short(stage: Stage, key: str) -> str:
    value: Any = stage.job["spec"]
    for step in key.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return os.path.relpath(str(value))

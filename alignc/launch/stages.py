"""Several runs as one build: their order, which are out of date and why, and models that are not there yet."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
    """What the caller wants of a run; `keep`: --overwrite is for what is out of date alone.

    `functions` and `hosts` are allowed beside those of `alignc.toml`.
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
    """A compiled spec among others. `makers`: the specs behind its `{run: …}`, by their places.

    `unfit` says why it cannot run on this machine (E606), where that is sure.
    """

    spec: str
    document: Document
    folder: JobFolder
    options: Options
    makers: Mapping[NodePath, str]
    unfit: Diagnostic | None = None

    @property
    def job(self) -> dict[str, Any]:
        """The content of its `job.json`."""
        job: dict[str, Any] = json.loads(self.folder.files["job.json"])
        return job

    @property
    def output(self) -> Path:
        """Its `output_dir`."""
        return Path(self.job["spec"]["output_dir"])

    @property
    def allowed(self) -> Permissions:
        """What it may run and reach."""
        return permissions(self.document.file, self.options.functions, self.options.hosts)

    @property
    def reads(self) -> dict[str, str]:
        """The local models that it starts from, by setting."""
        return model_folders(self.job["spec"])


@dataclass(frozen=True)
class Assessment:
    """What is to be done about a stage, the identity of its run, and the stages that must run before this is sure."""

    stage: Stage
    decision: Decision
    fingerprint: str
    inputs: Mapping[str, str]
    changed: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def runs(self) -> bool:
        """Whether it will run, as far as is known before those ahead of it have run."""
        return self.decision.action in ("start", "resume") or bool(self.after)


def ordered(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """Sort stages so that each comes after those whose models it starts from, else as they were named.

    Raises DiagnosticError: E603 where two write to one `output_dir`, E001 where they wait for one another.
    """
    _refuse_shared(stages)
    makers = {str(stage.output / "model"): stage for stage in stages}
    left, done = list(stages), list[Stage]()
    while left:
        ready = [s for s in left if not any(makers.get(path) in left for path in s.reads.values())]
        if not ready:
            names = ", ".join(f"`{s.spec}`" for s in left)
            span = left[0].document.span(("model", "policy"))
            raise DiagnosticError(Diagnostic("E001", f"{names} start from one another's models", span))
        done.append(ready[0])
        left.remove(ready[0])
    return tuple(done)


def _refuse_shared(stages: Sequence[Stage]) -> None:
    seen: dict[Path, Stage] = {}
    for stage in stages:
        first = seen.setdefault(stage.output, stage)
        if first is not stage:
            message = f"`{first.spec}` and `{stage.spec}` write to one `output_dir`"
            span = stage.document.span(("output_dir",))
            raise DiagnosticError(Diagnostic("E603", message, span, help="give each stage its own"))


def untrained(stages: Sequence[Stage]) -> list[Diagnostic]:
    """Find the models that stages start from and that are not there: what another spec makes (E609), else E008."""
    coming = {str(stage.output / "model") for stage in stages}
    absent = [d for stage in stages for d in absent_models(stage.job["spec"], stage.document, coming, "E008")]
    return absent + [
        _untrained(stage, place, maker)
        for stage in stages
        for place, maker in stage.makers.items()
        if (path := _reads_at(stage, place)) and path not in coming and not is_model(Path(path))
    ]


def disallowed(stages: Sequence[Stage]) -> list[Diagnostic]:
    """Find the functions and hosts that nobody allowed (E610, E611)."""
    asking = [(stage, stage.job["spec"]) for stage in stages]
    return [d for stage, spec in asking for d in forbidden(spec, stage.document, stage.allowed)]


def _reads_at(stage: Stage, place: NodePath) -> str | None:
    return stage.reads.get(".".join(map(str, place)))


def _untrained(stage: Stage, place: NodePath, maker: str) -> Diagnostic:
    help_ = (
        f"`alignc run {maker}` makes it; `alignc run --with-stages {stage.spec}` runs what is missing first"
    )
    message = f"the model that `{maker}` makes is not there yet"
    return Diagnostic("E609", message, stage.document.span((*place, "run")), help=help_)


def assess(stage: Stage) -> Assessment:
    """Decide about a stage as its inputs are now."""
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
    """Assess stages in their order; one that starts from a model yet to be made anew is settled when it is there."""
    found: list[Assessment] = []
    for stage in stages:
        coming = {str(a.stage.output / "model"): a.stage.spec for a in found if a.runs}
        after = tuple(coming[path] for path in stage.reads.values() if path in coming)
        found.append(replace(assess(stage), after=after))
    return tuple(found)


def refusals(found: Sequence[Assessment]) -> list[Diagnostic]:
    """List what can be refused before anything runs."""
    unfit = [a.stage.unfit for a in found if a.runs and a.stage.unfit]
    return unfit + [refusal(a) for a in found if a.decision.action == "refuse" and not a.after]


def refusal(found: Assessment) -> Diagnostic:
    """Tell of an output folder that holds something else, at the spec's `output_dir`."""
    decision = found.decision
    span = found.stage.document.span(("output_dir",))
    anew = [f"`{maker}` has made `{key}` anew" for key, maker in _made(found.stage, found.changed)]
    why = "; ".join([*([decision.why] if decision.why else []), *anew]) or None
    return Diagnostic(str(decision.code), decision.message, span, why=why, help=decision.help)


def run_stage(found: Assessment, show: Callable[[str], None]) -> Outcome:
    """Do what was decided. Raises DiagnosticError (E603, E604) for what is refused."""
    stage, action, options = found.stage, found.decision.action, found.stage.options
    if action == "refuse":
        raise DiagnosticError(refusal(found))
    if action == "up_to_date":
        return Outcome(0)
    if action == "start":
        clear(stage.output)
    write(stage.folder, stage.output / "job")
    return launch(
        stage.output / "job",
        fingerprint=found.fingerprint,
        inputs=found.inputs,
        show=show,
        resume=action == "resume",
        max_steps=options.max_steps,
        limit=options.limit,
        permitted=environment(stage.job["spec"], stage.document, stage.allowed),
    )


def reason(found: Assessment) -> str:
    """Say in a few words why a stage is run, or that it is not."""
    decision, stage = found.decision, found.stage
    if decision.action == "up_to_date":
        return "up to date: its spec, data and models are what they were"
    if decision.action == "resume":
        return "unfinished: it goes on from its newest checkpoint"
    made = [f"`{key}` (made by {maker})" for key, maker in _made(stage, found.changed)]
    others = [
        f"`{key}` ({_short(stage, key)})"
        for key in found.changed
        if key not in dict(_made(stage, found.changed))
    ]
    if made or others:
        return f"out of date: the content of {', '.join([*made, *others])} has changed"
    if decision.why:
        return f"out of date: {decision.why}"
    return "to be started over" if stage.options.overwrite and inspect(stage.output) else "not run yet"


def _made(stage: Stage, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    makers = {".".join(map(str, place)): maker for place, maker in stage.makers.items()}
    yield from ((key, makers[key]) for key in keys if key in makers)


def _short(stage: Stage, key: str) -> str:
    value: Any = stage.job["spec"]
    for step in key.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return os.path.relpath(str(value))

"""Runs of specs and pipelines: the decision about each spec, and the runs in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from alignc.api.compiled import Compiled, Mixture, Spec, built, specs_of
from alignc.diagnostics import Diagnostic, DiagnosticError, in_reading_order
from alignc.load.pipeline import producers

if TYPE_CHECKING:
    from alignc.launch import Assessment, Options, Stage
    from alignc.plan.build import ResourcePlan
    from alignc.plan.machine import Memory

__all__ = ["Ran", "resources_of", "run", "run_stages", "staged"]


@dataclass(frozen=True)
class Ran:
    """The result of a run: its exit code, its action, and its findings in the JSON form of `validate`."""

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
    refused = unfit(found.spec, lambda: resources_of(found, read_data=False))
    return Stage(spec, document, found.folder(), options, producers(document), refused)


def resources_of(
    found: Compiled | Mixture, *, read_data: bool, given: int | None = None, memory: Memory | None = None
) -> ResourcePlan:
    """Plan what a compiled spec takes. `given` is the size of models that are not on this machine."""
    from alignc.launch.planning import plan_of, plan_of_mixture

    if isinstance(found, Mixture):
        return plan_of_mixture(found.whole, read_data=read_data, given=given, memory=memory)
    return plan_of(found.whole, read_data=read_data, given=given, memory=memory)


def _makers(compiled: Sequence[Stage], options: Options) -> list[Stage]:
    """Compile the specs of each `{run: …}`, and the specs that these specs name."""
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

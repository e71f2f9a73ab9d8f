"""The plan of a compiled spec with its launch command, and the check that it can run on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from alignc.contract.files import JOB_FOLDER
from alignc.contract.job import Job
from alignc.contract.needs import LossNeeds
from alignc.contract.plain import to_plain
from alignc.diagnostics import Diagnostic
from alignc.emit.job_json import job_of
from alignc.emit.mixture import PartOfJob, mixed_job
from alignc.explain import Explanation
from alignc.explain.mixture import Mixed
from alignc.launch.command import command
from alignc.load.load import Loaded
from alignc.lower.loss import Loss
from alignc.plan import roles
from alignc.plan.build import ResourcePlan, build, makers
from alignc.plan.fit import hopeless
from alignc.plan.machine import Memory, most_of_machine
from alignc.plan.mixture import build_mixture

__all__ = ["plan_of", "plan_of_mixture", "unfit"]

Compiled = tuple[Loaded, Loss, LossNeeds, Explanation]
CompiledMixture = tuple[Loaded, Mapping[str, PartOfJob], Mixed]


def plan_of(
    compiled: Compiled, *, read_data: bool, given: int | None = None, memory: Memory | None = None
) -> ResourcePlan:
    """Plan a compiled spec. `given` is the number of parameters of models that are not on this machine."""
    (loaded, loss, needs, _), job = compiled, job_of(*compiled)
    return build(
        job,
        roles(needs, loss, loaded.job),
        launch=_launch(job),
        made_from=makers(loaded),
        read_data=read_data,
        given=given,
        memory=memory,
    )


def plan_of_mixture(
    compiled: CompiledMixture, *, read_data: bool, given: int | None = None, memory: Memory | None = None
) -> ResourcePlan:
    """Plan a compiled spec of several sources; `given` is the size of models that are not on this machine."""
    (loaded, parts, _), job = compiled, mixed_job(*compiled)
    return build_mixture(
        job,
        {name: roles(part.needs, part.loss, part.spec.job) for name, part in parts.items()},
        launch=_launch(job),
        made_from=makers(loaded),
        read_data=read_data,
        given=given,
        memory=memory,
    )


def _launch(job: Job) -> tuple[str, ...]:
    return tuple(command(job.output_dir / JOB_FOLDER, to_plain(job.spec.launch)))


def unfit(spec: Loaded, plan: Callable[[], ResourcePlan]) -> Diagnostic | None:
    """Return E606 for a job that surely cannot run in the memory of this machine; `plan` makes its plan."""
    section = spec.job.launch
    most = most_of_machine(section.num_processes, section.num_machines)
    return None if most is None else hopeless(plan(), most, spec.document.span(("model", "policy")))

"""The plan of a compiled spec with its launch command, and the check that it can run on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from alignc.diagnostics import Diagnostic
from alignc.emit.job_json import job_data
from alignc.emit.mixture import PartOfJob, mixed_data
from alignc.explain import Explanation
from alignc.explain.mixture import Mixed
from alignc.launch.command import command
from alignc.load.load import Loaded
from alignc.lower.loss import Loss
from alignc.plan import Needs
from alignc.plan.build import Plan, build, makers
from alignc.plan.fit import hopeless
from alignc.plan.machine import Memory, most_of_machine
from alignc.plan.mixture import build_mixture

__all__ = ["plan_of", "plan_of_mixture", "unfit"]

Compiled = tuple[Loaded, Loss, Needs, Explanation]
CompiledMixture = tuple[Loaded, Mapping[str, PartOfJob], Mixed]


def plan_of(
    compiled: Compiled, *, read_data: bool, given: int | None = None, memory: Memory | None = None
) -> Plan:
    """Plan a compiled spec. `given` is the number of parameters of models that are not on this machine."""
    spec = job_data(*compiled)["spec"]
    return build(
        spec,
        compiled[2],
        launch=tuple(command(Path(spec["output_dir"]) / "job", spec["launch"])),
        made_from=makers(compiled[0]),
        read_data=read_data,
        given=given,
        memory=memory,
    )


def plan_of_mixture(
    compiled: CompiledMixture, *, read_data: bool, given: int | None = None, memory: Memory | None = None
) -> Plan:
    """Plan a compiled spec of several sources; `given` is the size of models that are not on this machine."""
    loaded, parts, _ = compiled
    spec = mixed_data(*compiled)["spec"]
    return build_mixture(
        spec,
        {name: part.needs for name, part in parts.items()},
        launch=tuple(command(Path(spec["output_dir"]) / "job", spec["launch"])),
        made_from=makers(loaded),
        read_data=read_data,
        given=given,
        memory=memory,
    )


def unfit(spec: Loaded, plan: Callable[[], Plan]) -> Diagnostic | None:
    """Return E606 for a job that surely cannot run in the memory of this machine; `plan` makes its plan."""
    section = spec.job.launch
    most = most_of_machine(section.num_processes, section.num_machines)
    return None if most is None else hopeless(plan(), most, spec.document.span(("model", "policy")))

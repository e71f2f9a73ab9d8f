"""The plan of a compiled spec, with the line that launches it, and whether it can run on this machine at all."""

from __future__ import annotations

from pathlib import Path

from alignc.diagnostics import Diagnostic
from alignc.emit.job_json import job_data
from alignc.explain import Explanation
from alignc.launch.command import command
from alignc.load.load import Loaded
from alignc.lower.loss import Loss
from alignc.plan import Needs
from alignc.plan.build import Plan, build, makers
from alignc.plan.fit import hopeless
from alignc.plan.machine import Memory, most_of_machine

__all__ = ["plan_of", "unfit"]

Compiled = tuple[Loaded, Loss, Needs, Explanation]


def plan_of(
    compiled: Compiled, *, read_data: bool, given: int | None = None, memory: Memory | None = None
) -> Plan:
    """Plan a compiled spec. `given`: the parameters of models that are not here."""
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


def unfit(compiled: Compiled) -> Diagnostic | None:
    """Refuse (E606) what surely cannot run in this machine's memory."""
    section, document = compiled[0].job.launch, compiled[0].document
    most = most_of_machine(section.num_processes, section.num_machines)
    if most is None:
        return None
    return hopeless(plan_of(compiled, read_data=False), most, document.span(("model", "policy")))

"""The refusal of a plan that cannot fit, with the settings that need less memory."""

from __future__ import annotations

from collections.abc import Iterator

from alignc.contract.engines import DEEPSPEED
from alignc.diagnostics import Diagnostic, Span
from alignc.plan.build import ResourcePlan, largest
from alignc.plan.machine import Memory
from alignc.plan.memory import Phase
from alignc.plan.show import gib

__all__ = ["hopeless", "refusal"]


def refusal(plan: ResourcePlan, span: Span) -> Diagnostic | None:
    """Return E606 for a plan whose certain part needs more memory than a process has."""
    if plan.fits != "no" or plan.memory is None:
        return None
    phase = max(plan.phases, key=lambda each: each.least)
    return _refused(plan, phase, phase.least, plan.memory, span)


def hopeless(plan: ResourcePlan, memory: Memory, span: Span) -> Diagnostic | None:
    """Refuse (E606) a plan whose weights, gradients and optimizer states alone are more than ``memory``.

    For refusing to run: nothing that is estimated counts, and of a model whose size is not known nothing does.
    """
    phase = max((each.known for each in plan.phases), key=lambda each: each.total)
    return _refused(plan, phase, phase.total, memory, span) if phase.total > memory.bytes else None


def _refused(plan: ResourcePlan, phase: Phase, takes: int, memory: Memory, span: Span) -> Diagnostic:
    message = f"{phase.name} needs at least {gib(takes)}, but a process has {gib(memory.bytes)}"
    items = ", ".join(f"{item.role} {item.what} {gib(item.bytes)}" for item in largest(phase))
    return Diagnostic("E606", message, span, f"the largest parts are: {items}", "; ".join(_ways_out(plan)))


def _ways_out(plan: ResourcePlan) -> Iterator[str]:
    [policy, *_] = plan.sizes
    if policy.trained == policy.parameters:
        yield "train only an adapter (`model.adapter: {kind: lora}`)"
    whole = DEEPSPEED.title[0].format(zero_stage=3)
    if not plan.engine.startswith(whole):
        wanted = f"`launch.engine: {DEEPSPEED.name}` and a higher `launch.zero_stage`"
        yield f"divide it among more processes with {wanted}"
    activations = sum(i.bytes for i in plan.peak.items if i.what == "activations")
    if 2 * activations > plan.peak.total:
        yield "lower `train.per_device_train_batch_size`, or set `train.activation_checkpointing: true`"
    yield "use a smaller model, or a device with more memory"

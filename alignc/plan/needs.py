"""What a loss needs: responses, models, forwards, columns. Read off the graph, never declared."""

from __future__ import annotations

from dataclasses import dataclass

from alignc.graph.evaluate import evaluate
from alignc.graph.loss import Loss, at_reference
from alignc.graph.nodes import Column, Length, Reduce, walk
from alignc.graph.rewrite import inputs
from alignc.spec.job import Job
from alignc.spec.sections import RESPONSES

__all__ = ["Needs", "Role", "needs", "step_zero"]


@dataclass(frozen=True)
class Role:
    """A model in memory: what it is for, where its weights come from, and its forwards a row."""

    role: str
    weights: str
    trained: bool
    forwards: int
    cached: bool


@dataclass(frozen=True)
class Needs:
    """Everything a job must provide for its loss."""

    responses: tuple[str, ...]
    anchors: tuple[str, ...]
    columns: tuple[str, ...]
    totals: tuple[str, ...]
    metrics: tuple[str, ...]
    coupled: bool
    reference: str
    roles: tuple[Role, ...]
    step0: dict[str, float]


def needs(loss: Loss, job: Job) -> Needs:
    """Read the needs off a loss."""
    read = inputs(*loss.outputs)
    responses = RESPONSES[job.data.kind]
    anchors = tuple(m for m in loss.models if m != "policy")
    reference = reference_kind(job, anchors)
    return Needs(
        responses=responses,
        anchors=anchors,
        columns=tuple(sorted({n.name for n in read if isinstance(n, Column)})),
        totals=("rows", *sorted({f"tokens/{n.response}" for n in _counted(loss)})),
        metrics=tuple(m.name for m in loss.metrics),
        coupled=loss.coupled,
        reference=reference,
        roles=_roles(len(responses), anchors, reference, job),
        step0=step_zero(loss) if reference in ("initial", "adapter_off") else {},
    )


def _counted(loss: Loss) -> list[Length]:
    batch = [n for n in walk(*loss.outputs) if isinstance(n, Reduce) and n.over == "batch"]
    return [n.argument for n in batch if isinstance(n.argument, Length)]


def reference_kind(job: Job, anchors: tuple[str, ...]) -> str:
    """Derive where reference log-probabilities come from: an adapter switched off, a frozen copy, or nowhere."""
    if not anchors:
        return "none"
    if job.model.reference is not None:
        return job.model.reference.kind
    return "adapter_off" if job.model.adapter else "initial"


def _roles(responses: int, anchors: tuple[str, ...], reference: str, job: Job) -> tuple[Role, ...]:
    weights = "all weights" if job.model.adapter is None else f"LoRA, rank {job.model.adapter.r}"
    roles = [Role("policy", weights, True, responses, False)]
    if anchors:
        sources = {
            "initial": "the policy as it is at the start, frozen",
            "adapter_off": "the policy with its adapter switched off",
            "path": "a model of its own, frozen",
            "none": "none",
        }
        roles.append(Role("reference", sources[reference], False, responses, True))
    return tuple(roles)


def step_zero(loss: Loss) -> dict[str, float]:
    """Find the values that hold before the first step whatever the data: those that are constant at π = ref."""
    known = {}
    for metric in loss.metrics:
        node = at_reference(metric.value)
        if not inputs(node):
            known[metric.name] = float(evaluate(node, {}))
    return known

"""The plan of a job with several sources of rows: one set of models, and a micro-batch of one source at a time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from alignc.contract.job import Job
from alignc.contract.kinds import ONLINE
from alignc.contract.plain import to_plain
from alignc.plan.build import Forwards, ResourcePlan, Size, fits, models_of, of_models
from alignc.plan.machine import Memory
from alignc.plan.memory import Models, Phase, beside_policy
from alignc.plan.needs import Role
from alignc.plan.rows import Lengths
from alignc.plan.schedule import Schedule, Tokens
from alignc.plan.work import Work

__all__ = ["build_mixture"]


def build_mixture(
    job: Job,
    held: Mapping[str, tuple[Role, ...]],
    *,
    launch: tuple[str, ...] = (),
    made_from: Mapping[str, Any] | None = None,
    read_data: bool = True,
    given: int | None = None,
    memory: Memory | None = None,
) -> ResourcePlan:
    """Plan a resolved job of several sources; `held` are the models of each by its name. The rest is as in `build`."""
    parts = dict(zip(held, job.parts, strict=True))
    sized = {
        name: models_of(to_plain(part.spec), part.needs, held[name], made_from or {}, given)
        for name, part in parts.items()
    }
    trained = _trained(list(sized.values()))
    beside = tuple(item for models in sized.values() for item in beside_policy(models))
    plans = {
        name: of_models(part, held[name], replace(sized[name], **trained), read_data=read_data, beside=beside)
        for name, part in parts.items()
    }
    return _together(to_plain(job.spec), plans, launch, memory)


def _trained(sized: Sequence[Models]) -> dict[str, Any]:
    """Combine the trained weights: the loss of each source may add a head or a critic to the policy."""
    critic = next((models.critic for models in sized if models.critic is not None), None)
    counts = {
        name: max(getattr(models, name) for models in sized) for name in ("trained", "added", "tensors")
    }
    return {**counts, "critic": critic}


def _together(
    spec: Mapping[str, Any], plans: Mapping[str, ResourcePlan], launch: tuple[str, ...], memory: Memory | None
) -> ResourcePlan:
    """Combine the plans of the sources: the sums over a step, and all phases."""
    parts = list(plans.values())
    laid = tuple(_phases(parts))
    counts = _schedule(spec, plans)
    return ResourcePlan(
        name=parts[0].name,
        launch=launch,
        engine=parts[0].engine,
        processes=parts[0].processes,
        sizes=tuple(_sizes(parts)),
        forwards=tuple(_forwards(parts)),
        lengths=Lengths(note="several sources"),
        schedule=counts,
        tokens=_tokens([plan.tokens for plan in parts]),
        tokens_a_step=sum(plan.tokens_a_step for plan in parts),
        phases=laid,
        work=_work([plan.work for plan in parts]),
        cached=tuple(dict.fromkeys(text for plan in parts for text in plan.cached)),
        memory=memory,
        fits=fits(laid, memory),
        sources=plans,
    )


def _sizes(parts: Sequence[ResourcePlan]) -> Iterable[Size]:
    return dict.fromkeys(size for plan in parts for size in plan.sizes)


def _forwards(parts: Sequence[ResourcePlan]) -> Iterator[Forwards]:
    """Add up by role the forwards for a row of each source."""
    every = [each for plan in parts for each in plan.forwards]
    for role, cached in dict.fromkeys((each.role, each.cached) for each in every):
        own = [each for each in every if (each.role, each.cached) == (role, cached)]
        yield Forwards(role, sum(f.forwards for f in own), sum(f.backward for f in own), cached)


def _phases(parts: Sequence[ResourcePlan]) -> Iterator[Phase]:
    """Keep a phase that is the same for all sources once; number the others by their source."""
    names = ("load", "reference pass", "rollout", "train step", "eval", "save")
    for name in names:
        found = [(i, phase) for i, plan in enumerate(parts, 1) for phase in plan.phases if phase.name == name]
        if name in ("load", "reference pass", "save") and found:
            yield max((phase for _, phase in found), key=lambda phase: phase.total)
        elif len(found) == 1:
            yield found[0][1]
        else:
            yield from (Phase(f"{name} {number}", phase.items) for number, phase in found)


def _schedule(spec: Mapping[str, Any], plans: Mapping[str, ResourcePlan]) -> Schedule:
    """Count steps as the loop does: by rollouts if rows are sampled, else by the source with the most rows."""
    sources = spec["data"]["sources"]
    sampled = next((name for name, rows in sources.items() if rows["kind"] in ONLINE), None)
    if sampled is not None:
        counted = plans[sampled].schedule
    else:
        counted = max((plan.schedule for plan in plans.values()), key=lambda each: each.rows or 0)
        if any(plan.schedule.rows is None for plan in plans.values()) and spec["train"]["max_steps"] <= 0:
            counted = replace(counted, steps=None, sure="unknown", evaluations=None, checkpoints=None)
    return replace(counted, rows=None, evaluations=_evaluations(spec, counted))


def _evaluations(spec: Mapping[str, Any], counted: Schedule) -> int | None:
    """Count the evaluations: a job has evaluations if any source has held-out rows."""
    if counted.steps is None or not any(rows.get("eval") for rows in spec["data"]["sources"].values()):
        return counted.evaluations
    every, first = spec["train"]["eval_steps"], bool(spec["train"]["eval_on_start"])
    return (math.ceil(counted.steps / every) if every else 1) + first


def _tokens(parts: Sequence[Tokens]) -> Tokens:
    """Add up a row of each source; the longest is the longest of any."""
    sure = "bound" if any(row.sure == "bound" for row in parts) else parts[0].sure
    return Tokens(
        backbone=sum(row.backbone for row in parts),
        scored=sum(row.scored for row in parts),
        longest_backbone=max(row.longest_backbone for row in parts),
        longest_scored=max(row.longest_scored for row in parts),
        prompt=sum(row.prompt for row in parts),
        responses=sum(row.responses for row in parts),
        packed=all(row.packed for row in parts),
        sure=sure,
    )


def _work(parts: Sequence[Work]) -> Work:
    """Add up the work of a step over the sources; one of them has rollouts."""
    steps = [work.step for work in parts if work.step is not None]
    if len(steps) < len(parts):
        return Work(None, None, None, None, None)
    once = [work.reference_once for work in parts if work.reference_once is not None]
    heads = [work.step * work.head_share for work in parts if work.step and work.head_share is not None]
    return Work(
        step=sum(steps),
        reference_once=sum(once) if once else None,
        rollout=next((work.rollout for work in parts if work.rollout is not None), None),
        decoded=next((work.decoded for work in parts if work.decoded is not None), None),
        head_share=sum(heads) / sum(steps) if sum(steps) else None,
    )

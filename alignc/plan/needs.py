"""What a loss needs: responses, models, forwards, columns. Read off the graph, never declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from alignc.contract.models import EMA, INITIAL, POLICY, PREVIOUS_ITERATE, ROLLOUT
from alignc.contract.outputs import Quantity
from alignc.contract.responses import GROUP, MISMATCHED
from alignc.graph.build import split_number
from alignc.graph.evaluate import evaluate
from alignc.graph.nodes import (
    Add,
    Column,
    Constant,
    Length,
    Node,
    Output,
    Parameter,
    Reduce,
    is_divergence,
    walk,
)
from alignc.graph.rewrite import inputs, substitute
from alignc.lower.loss import Loss, at_reference
from alignc.lower.policy_metrics import RATIOS
from alignc.lower.statistics import kind, loss_responses, statistic_responses, statistics
from alignc.spec.anchors import other_models
from alignc.spec.job import Job
from alignc.spec.objective import Pointwise
from alignc.spec.rows import ONLINE
from alignc.spec.targets import WinRateTarget

__all__ = ["Needs", "Role", "needs", "step_zero"]


@dataclass(frozen=True)
class Role:
    """A model in memory: what it is for, where its weights come from, and its forwards a row.

    `silent` ones have no backward; `grouped` where a row has any number of responses, each forwarded so often.
    """

    role: str
    weights: str
    trained: bool
    forwards: int
    cached: bool
    silent: int = 0
    grouped: bool = False


@dataclass(frozen=True)
class Needs:
    """Everything a job must provide for its loss."""

    responses: tuple[str, ...]
    anchors: tuple[str, ...]
    columns: tuple[str, ...]
    totals: tuple[str, ...]
    metrics: tuple[str, ...]
    coupled: bool
    outputs: tuple[str, ...]
    statistics: dict[str, str]
    statistic_responses: tuple[str, ...]
    loss_responses: tuple[str, ...]
    convert: str | None
    reference: str
    roles: tuple[Role, ...]
    step0: dict[str, float]
    advantage: dict[str, Any] | None = None
    token_columns: tuple[str, ...] = ()
    ratios: tuple[str, ...] = ()
    baseline: dict[str, Any] | None = None
    others: dict[str, str] = field(default_factory=dict)
    """Anchors that are models of their own, by folder or hub id."""


def needs(loss: Loss, job: Job, whole: Job | None = None) -> Needs:
    """Read the needs off a loss; ``whole`` is the job of several sources that this one is a source of."""
    read = inputs(*loss.outputs)
    seen = loss.view
    responses = (*seen.responses, *((MISMATCHED,) if seen.mismatched else ()))
    anchors = tuple(m for m in loss.models if m != POLICY)
    others = {name: path for path, name in other_models(whole or job).items() if name in anchors}
    reference = reference_kind(job, tuple(a for a in anchors if a not in others))
    return Needs(
        responses=responses,
        anchors=anchors,
        columns=tuple(sorted({_column(n) for n in read if isinstance(n, Column) and not n.token})),
        totals=_totals(loss),
        metrics=tuple(m.name for m in loss.metrics),
        coupled=loss.coupled,
        outputs=tuple(sorted({n.quantity for n in read if isinstance(n, Output)})),
        statistics={f"s{i + 1}": kind(node) for i, node in enumerate(statistics(loss))},
        statistic_responses=statistic_responses(loss),
        loss_responses=loss_responses(loss),
        convert=seen.convert,
        reference=reference,
        roles=_roles(responses, anchors, reference, others, loss, job),
        step0=step_zero(loss) if reference in known_start(job) else {},
        advantage=_advantage(loss),
        token_columns=tuple(sorted({_column(n) for n in read if isinstance(n, Column) and n.token})),
        ratios=tuple(m.name for m in loss.metrics if m.name in RATIOS),
        baseline=_log_partition(job),
        others=others,
    )


def _advantage(loss: Loss) -> dict[str, Any] | None:
    """Describe the advantage that a rollout computes, as `job.json` has it."""
    found = loss.advantage
    if found is None:
        return None
    return {
        "reward": found.reward,
        "penalty": found.penalty is not None,
        "granularity": found.granularity,
        "baseline": found.baseline,
        "discount": found.discount,
        "gae_lambda": found.gae_lambda,
        "whiten": found.whiten,
        "adaptive": found.adaptive,
    }


def _log_partition(job: Job) -> dict[str, Any] | None:
    """Say what a rollout estimates in the place of the log-partition."""
    for term in job.objective.terms:
        target = term.target if isinstance(term, Pointwise) else None
        if isinstance(target, WinRateTarget) and isinstance(target.baseline, str):
            return {"kind": target.baseline, "eta": target.eta, "samples": target.samples}
    return None


def _column(node: Column) -> str:
    """Name a column as `loss.py` does: `label`, or `reward/chosen` where it is one response's."""
    return f"{node.name}/{node.response}" if node.response else node.name


def _totals(loss: Loss) -> tuple[str, ...]:
    """List what is counted over the global batch before any forward: rows, tokens, sums of columns."""
    batch = [n.argument for n in walk(*loss.outputs) if isinstance(n, Reduce) and n.over == "batch"]
    counted = [leaf for n in batch if _is_count(n) for leaf in inputs(n)]
    tokens = {f"tokens/{n.response}" for n in counted if isinstance(n, Length)}
    columns = {f"column/{n.name}" for n in counted if isinstance(n, Column) and n.response is None}
    return ("rows", *sorted(tokens), *sorted(columns))


def _is_count(node: Node) -> bool:
    """Tell a length, a column, or one less a column, from what rows must be scored for."""
    if isinstance(node, Add):
        return all(isinstance(split_number(t)[1], Constant | Column) for t in node.terms)
    if isinstance(node, Reduce) and node.over == "group":
        return all(isinstance(n, Length) for n in inputs(node))
    return isinstance(node, Length | Column)


def online(job: Job) -> bool:
    """Tell whether the policy makes its own responses."""
    return job.data.kind in ONLINE


def reference_kind(job: Job, anchors: tuple[str, ...]) -> str:
    """Derive where reference log-probabilities come from: an adapter switched off, a frozen copy, or nowhere."""
    if not set(anchors) - {ROLLOUT} if online(job) else not anchors:
        return "none"
    if job.model.reference is not None:
        return job.model.reference.kind
    return "adapter_off" if job.model.adapter else "initial"


def known_start(job: Job) -> tuple[str, ...]:
    """List the references that are the policy itself before the first step."""
    return ("initial", "adapter_off", *(("previous_iterate", "ema", "none") if online(job) else ()))


def _roles(
    responses: tuple[str, ...],
    anchors: tuple[str, ...],
    reference: str,
    others: Mapping[str, str],
    loss: Loss,
    job: Job,
) -> tuple[Role, ...]:
    weights = "all weights" if job.model.adapter is None else f"LoRA, rank {job.model.adapter.r}"
    silent = responses.count(MISMATCHED)
    many, grouped = len(responses), responses == GROUP
    roles = [Role("policy", weights, True, many - silent, False, silent, grouped)]
    if INITIAL in anchors or (set(anchors) - others.keys() and not online(job)):
        beside = any(is_divergence(n) and isinstance(n, Output) for n in walk(loss.root))
        source = SOURCES[reference] + (", beside the policy at every update" if beside else "")
        roles.append(Role("reference", source, False, many, not online(job), grouped=grouped))
    for name, path in others.items():
        roles.append(Role(name, f"{path}, frozen", False, many, True, grouped=grouped))
    if EMA in anchors and online(job):
        name = "average" if INITIAL in anchors else "reference"
        roles.append(Role(name, SOURCES["ema"], False, many, False, grouped=grouped))
    if online(job):
        roles += _online_roles(anchors, loss, job)
    return tuple(roles)


SAMPLER = {ROLLOUT, PREVIOUS_ITERATE}
"""The anchors that are the policy as it sampled: numbers that are stored, no model."""
SOURCES = {
    "initial": "the policy at the start, frozen",
    "adapter_off": "the policy with its adapter switched off",
    "path": "a separate model, frozen",
    "previous_iterate": "the policy at the start of a rollout",
    "ema": "the moving average of the policy's weights",
    "none": "none",
}


def _online_roles(anchors: tuple[str, ...], loss: Loss, job: Job) -> list[Role]:
    """List what a rollout runs beside the policy's training: sampling, the critic, what judges."""
    roles = []
    advantage = loss.advantage
    stored = set(anchors) & SAMPLER or (advantage is not None and advantage.penalty is not None)
    if stored:
        roles.append(
            Role(
                "sampler",
                "the rollout policy, whose log-probabilities are stored",
                False,
                1,
                False,
                grouped=True,
            )
        )
    if any(isinstance(n, Output) and n.quantity == Quantity.TOKEN_VALUE for n in inputs(*loss.outputs)):
        head = job.model.critic is None or job.model.critic.kind == "head"
        where = "a value head on the policy's trunk" if head else "a separate model"
        roles.append(Role("critic", where, True, 1, False, 1, grouped=True))
    return roles


def step_zero(loss: Loss) -> dict[str, float]:
    """Find the values that hold before the first step whatever the data: those that are constant at π = ref.

    An accuracy is left out: rounding decides on which side a margin of 0 falls.
    """
    known = {}
    for metric in loss.metrics:
        node = at_reference(metric.value)
        if inputs(node):  # what only cancels once the numbers are in, as 1 − clip(1, 1 − ε, 1 + ε)
            node = at_reference(_in_numbers(metric.value))
        if not inputs(node) and not metric.name.endswith("accuracies"):
            known[metric.name] = float(evaluate(node, {}))
    return known


def _in_numbers(node: Node) -> Node:
    """Put the values of hyper-parameters without a unit where their symbols are."""
    plain = [n for n in walk(node) if isinstance(n, Parameter) and not n.unit.powers]
    return substitute(node, {n: Constant(n.value) for n in plain})

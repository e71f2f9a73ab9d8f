"""The needs of a loss: responses, models, forwards and columns, all derived from the graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alignc.contract.adapters import POLICY_OWN, off_is_start
from alignc.contract.kinds import ONLINE
from alignc.contract.models import EMA, INITIAL, MODELS, POLICY, ROLLOUT, SAMPLED
from alignc.contract.needs import LossNeeds, WinRateBaseline
from alignc.contract.optimizers import OPTIMIZERS
from alignc.contract.outputs import Quantity
from alignc.contract.responses import MISMATCHED
from alignc.graph.build import split_number
from alignc.graph.evaluate import evaluate
from alignc.graph.nodes import Add, Column, Constant, Length, Node, Output, Parameter, Reduce, is_divergence
from alignc.graph.rewrite import inputs, substitute
from alignc.graph.walk import walk
from alignc.lower.loss import Loss, at_reference
from alignc.lower.policy_metrics import RATIOS
from alignc.lower.statistics import kind, loss_responses, statistic_responses, statistics
from alignc.spec.anchors import other_models
from alignc.spec.job import Job
from alignc.spec.objective import Pointwise
from alignc.spec.sections import Adapter
from alignc.spec.targets import WinRateTarget

__all__ = ["Role", "needs", "reference_of", "roles", "step_zero"]


@dataclass(frozen=True)
class Role:
    """A model in memory: its role, the source of its weights, and its forwards per row.

    `silent` ones have no backward; `grouped` where a row has any number of responses, each forwarded so often.
    """

    role: str
    weights: str
    trained: bool
    forwards: int
    cached: bool
    silent: int = 0
    grouped: bool = False


def needs(loss: Loss, job: Job, whole: Job | None = None) -> LossNeeds:
    """Derive the needs of a loss; ``whole`` is the job of several sources to which this source belongs."""
    read = inputs(*loss.outputs)
    seen = loss.view
    anchors = [m for m in loss.models if m != POLICY]
    others = {name: path for path, name in other_models(whole or job).items() if name in anchors}
    reference = _reference_kind(job, set(anchors) - others.keys())
    return LossNeeds(
        responses=[*seen.responses, *((MISMATCHED,) if seen.mismatched else ())],
        anchors=anchors,
        columns=sorted({_column(n) for n in read if isinstance(n, Column) and not n.token}),
        totals=_totals(loss),
        metrics=[m.name for m in loss.metrics],
        coupled=loss.coupled,
        outputs=sorted({n.quantity for n in read if isinstance(n, Output)}),
        statistics={f"s{i + 1}": kind(node) for i, node in enumerate(statistics(loss))},
        statistic_responses=list(statistic_responses(loss)),
        loss_responses=list(loss_responses(loss)),
        convert=seen.convert,
        step0=step_zero(loss) if reference in known_start(job) else {},
        advantage=loss.advantage,
        token_columns=sorted({_column(n) for n in read if isinstance(n, Column) and n.token}),
        ratios=[m.name for m in loss.metrics if m.name in RATIOS],
        baseline=_win_rate_baseline(job),
        others=others,
    )


def _win_rate_baseline(job: Job) -> WinRateBaseline | None:
    """Describe the rollout's estimate that replaces the log-partition."""
    for term in job.objective.terms:
        target = term.target if isinstance(term, Pointwise) else None
        if isinstance(target, WinRateTarget) and isinstance(target.baseline, str):
            return WinRateBaseline(target.baseline, target.eta, target.samples)
    return None


def _column(node: Column) -> str:
    """Name a column as `loss.py` does: `label`, or `reward/chosen` for the column of one response."""
    return f"{node.name}/{node.response}" if node.response else node.name


def _totals(loss: Loss) -> list[str]:
    """List the counts over the global batch before any forward: rows, tokens, sums of columns."""
    batch = [n.argument for n in walk(*loss.outputs) if isinstance(n, Reduce) and n.over == "batch"]
    counted = [leaf for n in batch if _is_count(n) for leaf in inputs(n)]
    tokens = {f"tokens/{n.response}" for n in counted if isinstance(n, Length)}
    columns = {f"column/{n.name}" for n in counted if isinstance(n, Column) and n.response is None}
    return ["rows", *sorted(tokens), *sorted(columns)]


def _is_count(node: Node) -> bool:
    """Return whether a value needs no model: a length, a column, or one minus a column."""
    if isinstance(node, Add):
        return all(isinstance(split_number(t)[1], Constant | Column) for t in node.terms)
    if isinstance(node, Reduce) and node.over == "group":
        return all(isinstance(n, Length) for n in inputs(node))
    return isinstance(node, Length | Column)


def online(job: Job) -> bool:
    """Return whether the policy samples the responses."""
    return job.data.kind in ONLINE


def reference_of(needed: LossNeeds, job: Job) -> str:
    """Derive the source of the reference log-probabilities: an adapter that is off, a frozen copy, or none."""
    return _reference_kind(job, set(needed.anchors) - needed.others.keys())


def _reference_kind(job: Job, anchors: set[str]) -> str:
    if not anchors - {ROLLOUT} if online(job) else not anchors:
        return "none"
    if job.model.reference is not None:
        return job.model.reference.kind
    return "adapter_off" if _off_is_start(job) else "initial"


def _off_is_start(job: Job) -> bool:
    """Return whether the policy with its adapter switched off is the policy as training begins."""
    adapter = job.model.adapter
    return adapter is not None and off_is_start(adapter.start, adapter.init_lora_weights)


def known_start(job: Job) -> tuple[str, ...]:
    """List the references that are the policy itself before the first step."""
    off = ("adapter_off",) if _off_is_start(job) else ()
    return ("initial", *off, *(("previous_iterate", "ema", "none") if online(job) else ()))


def roles(needed: LossNeeds, loss: Loss, job: Job) -> tuple[Role, ...]:
    """List the models that a job holds in memory for its loss."""
    anchors, others, grouped = needed.anchors, needed.others, needed.grouped
    weights = f"{_trained(job.model.adapter)}, trained in {trained_in(job)}"
    many, silent = len(needed.responses), needed.responses.count(MISMATCHED)
    found = [Role("policy", weights, True, many - silent, False, silent, grouped)]
    if INITIAL in anchors or (set(anchors) - others.keys() and not online(job)):
        beside = any(is_divergence(n) and isinstance(n, Output) for n in walk(loss.root))
        source = SOURCES[reference_of(needed, job)] + (", in memory during each update" if beside else "")
        found.append(Role("reference", source, False, many, not online(job), grouped=grouped))
    for name, path in others.items():
        found.append(Role(name, f"{path}, frozen", False, many, True, grouped=grouped))
    if EMA in anchors and online(job):
        name = "average" if INITIAL in anchors else "reference"
        found.append(Role(name, SOURCES[EMA], False, many, False, grouped=grouped))
    if online(job):
        found += _online_roles(anchors, loss, job)
    return tuple(found)


def trained_in(job: Job) -> str:
    """Name the number format of the weights that are trained: float32 at the least, but by the optimizer's name."""
    if not OPTIMIZERS[job.train.optim].wide:
        return "bfloat16"
    return "float64" if job.model.dtype == "float64" else "float32"


def _trained(adapter: Adapter | None) -> str:
    """Say what is trained of the policy."""
    if adapter is None:
        return "all weights"
    goes_on = ", the policy's own adapter goes on" if adapter.start == POLICY_OWN else ""
    return f"LoRA, rank {adapter.r}{goes_on}"


SOURCES: Mapping[str, str] = {
    INITIAL: f"{MODELS[INITIAL].words}, frozen",
    "adapter_off": "the policy with its adapter switched off",
    "path": "a separate model, frozen",
    **{row.name: row.words for row in MODELS.values() if row.moving},
    "none": "none",
}


def _online_roles(anchors: list[str], loss: Loss, job: Job) -> list[Role]:
    """List the models of a rollout in addition to the trained policy: the sampler, the critic and the judges."""
    found = []
    stored = set(anchors) & SAMPLED or loss.penalty is not None
    if stored:
        found.append(
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
        found.append(Role("critic", where, True, 1, False, 1, grouped=True))
    return found


def step_zero(loss: Loss) -> dict[str, float]:
    """Find the values before the first step that do not depend on the data: those that are constant at π = ref.

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
    """Replace the symbols of hyper-parameters without a unit by their values."""
    plain = [n for n in walk(node) if isinstance(n, Parameter) and not n.unit.powers]
    return substitute(node, {n: Constant(n.value) for n in plain})

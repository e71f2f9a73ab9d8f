"""The logged metrics: nodes of the loss graph under TRL's names."""

from __future__ import annotations

from alignc.contract.models import POLICY
from alignc.contract.responses import CHOSEN, COMPLETION, COMPLETIONS, PAIR, REJECTED
from alignc.graph import build as b
from alignc.graph.nodes import Column, GroupSize, Logp, Node
from alignc.graph.types import Unit
from alignc.lower.loss import Metric
from alignc.lower.scope import Scope
from alignc.lower.scores import log_ratio
from alignc.spec.objective import Likelihood, Pointwise, Preference
from alignc.spec.scores import SCALAR_HEAD, is_ratio
from alignc.spec.targets import BatchKL
from alignc.spec.views import View

__all__ = ["group_metrics", "kl_metrics", "likelihood_metrics", "pointwise_metrics", "preference_metrics"]


def _mean(name: str, rows: Node) -> Metric:
    return Metric(name, b.mean_over("batch", rows))


def preference_metrics(
    term: Preference, raw: dict[str, Node], beta: Node, scope: Scope, value: Node | None
) -> list[Metric]:
    """List rewards (β times the summed log-ratio, as in TRL, else the score), accuracies and log-probabilities."""
    if term.score.of == SCALAR_HEAD:
        return [*own_loss(term.kind, value), *_reward_model_metrics(raw)]
    ratio = is_ratio(term.score.of)
    worth = {y: log_ratio(term.score, y, scope) if ratio else raw[y] for y in PAIR}
    rewards = {y: b.multiply(beta, worth[y]) for y in PAIR}
    gap = b.subtract(worth[CHOSEN], worth[REJECTED])
    return [
        *own_loss(term.kind, value),
        *(_mean(f"rewards/{y}", rewards[y]) for y in PAIR),
        _mean("rewards/margins", b.subtract(rewards[CHOSEN], rewards[REJECTED])),
        _mean("rewards/accuracies", b.apply("step", gap)),
        *(_mean(f"logps/{y}", b.sum_over("token", Logp(POLICY, y))) for y in PAIR),
    ]


def _reward_model_metrics(raw: dict[str, Node]) -> list[Metric]:
    gap = b.subtract(raw[CHOSEN], raw[REJECTED])
    mean = b.multiply(b.constant(0.5), b.add(*raw.values()))
    return [_mean("accuracy", b.apply("step", gap)), _mean("margin", gap), _mean("mean_reward", mean)]


def pointwise_metrics(
    term: Pointwise,
    raw: dict[str, Node],
    beta: Node,
    point: Node | None,
    seen: View,
    value: Node | None,
    *,
    labelled: bool,
) -> list[Metric]:
    """List the rewards and the reference point; if the loss reads labels, the rewards of each label."""
    found = own_loss(term.kind, value)
    if point is not None:
        found.append(Metric("kl" if isinstance(term.reference_point, BatchKL) else "delta", point))
    if seen.group:
        return [*found, *group_metrics(beta, raw[COMPLETIONS], term.kind, None)]
    if seen.pair:
        return [
            *found,
            *(_mean(f"rewards/{y}", b.multiply(beta, s)) for y, s in raw.items()),
            *_pair_gap(raw, beta),
        ]
    score = b.multiply(beta, raw[COMPLETION])
    if labelled:
        return [
            *found,
            *_by_label(score),
            _mean("logps/completion", b.sum_over("token", Logp(POLICY, COMPLETION))),
        ]
    return [*found, _mean("rewards/mean", score), _mean("logps/completion", _logp(COMPLETION))]


def _logp(response: str) -> Node:
    return b.sum_over("token", Logp(POLICY, response))


def _pair_gap(raw: dict[str, Node], beta: Node) -> list[Metric]:
    if set(raw) != set(PAIR):
        return []
    gap = b.subtract(raw[CHOSEN], raw[REJECTED])
    return [
        _mean("rewards/margins", b.multiply(beta, gap)),
        _mean("rewards/accuracies", b.apply("step", gap)),
        *(_mean(f"logps/{y}", _logp(y)) for y in PAIR),
    ]


def _by_label(score: Node) -> list[Metric]:
    """Average a score over the rows of each label."""
    label = Column("label", None, Unit())
    groups = {CHOSEN: label, REJECTED: b.subtract(b.ONE, label)}
    return [
        Metric(
            f"rewards/{name}",
            b.divide(b.sum_over("batch", b.multiply(rows, score)), b.sum_over("batch", rows)),
        )
        for name, rows in groups.items()
    ]


def group_metrics(beta: Node, raw: Node, kind: str, value: Node | None) -> list[Metric]:
    """List a group's mean implicit reward and mean log-probability."""
    rows = {"rewards/mean": b.multiply(beta, raw), "logps/completions": _logp(COMPLETIONS)}
    means = [_mean(n, b.divide(b.sum_over("group", r), GroupSize())) for n, r in rows.items()]
    return [*own_loss(kind, value), *means]


def likelihood_metrics(term: Likelihood, logp: Node, value: Node | None) -> list[Metric]:
    """List the loss of the term if there are several terms, and the log-probability of the response."""
    return [*own_loss(term.kind, value), _mean(f"logps/{term.on}", logp)]


def kl_metrics(estimate: Node, value: Node | None) -> list[Metric]:
    """List the estimate without importance weights, and the loss of the term if there are several terms."""
    return [*own_loss("kl", value), _mean("kl", estimate)]


def own_loss(kind: str, value: Node | None) -> list[Metric]:
    """Log the loss of a term if there are several terms; the name comes from the compiler and not from the spec."""
    if value is None:
        return []
    return [Metric("nll_loss" if kind == "likelihood" else f"loss/{kind}", value)]

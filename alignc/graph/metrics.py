"""The logged metrics: nodes of the loss graph under TRL's names."""

from __future__ import annotations

from alignc.graph import build as b
from alignc.graph.loss import Metric
from alignc.graph.nodes import Length, Logp, Named, Node
from alignc.spec.objective import Likelihood, Preference

__all__ = ["likelihood_metrics", "preference_metrics"]


def preference_metrics(
    term: Preference, scores: dict[str, Node], beta: Node, value: Node | None
) -> list[Metric]:
    """List rewards (β times the log-ratio, summed over tokens as in TRL), accuracies and log-probabilities."""
    rewards = {y: b.multiply(beta, _summed(term, scores[y], y)) for y in scores}
    margin = b.subtract(rewards["chosen"], rewards["rejected"])
    plain = b.subtract(
        _summed(term, scores["chosen"], "chosen"), _summed(term, scores["rejected"], "rejected")
    )
    rows = {
        "rewards/chosen": rewards["chosen"],
        "rewards/rejected": rewards["rejected"],
        "rewards/margins": margin,
        "rewards/accuracies": b.apply("step", _bare(plain)),
        **{f"logps/{y}": b.sum_over("token", Logp("policy", y)) for y in scores},
    }
    return [*_own_loss(term.kind, value), *(Metric(n, b.mean_over("batch", r)) for n, r in rows.items())]


def _bare(node: Node) -> Node:
    """Take a difference's unit away: only its sign is read."""
    from alignc.graph.nodes import Parameter

    carrier = Parameter("unit", "", 1.0, node.type.unit**-1, "")
    return node if not node.type.unit.powers else b.multiply(carrier, node)


def _summed(term: Preference, score: Node, response: str) -> Node:
    """Undo a mean over tokens for a log-ratio: rewards are sums whatever the loss averages."""
    if term.score.of != "log_ratio" or term.score.reduce == "sum" or not isinstance(score, Named):
        return score
    return b.multiply(score.argument, Length(response))


def likelihood_metrics(term: Likelihood, logp: Node, value: Node | None) -> list[Metric]:
    """List the term's own loss where there are several, and the log-probability of the response."""
    return [*_own_loss(term.kind, value),
            Metric(f"logps/{term.on}", b.mean_over("batch", logp))]  # fmt: skip


def _own_loss(kind: str, value: Node | None) -> list[Metric]:
    """Log a term's own loss where there are several; the name is the compiler's, never the spec's."""
    if value is None:
        return []
    return [Metric("nll_loss" if kind == "likelihood" else f"loss/{kind}", value)]

"""The logged metrics of a policy gradient, under TRL's names where it has them."""

from __future__ import annotations

from alignc.contract.models import POLICY, ROLLOUT
from alignc.contract.responses import COMPLETIONS
from alignc.graph import build as b
from alignc.graph.nodes import GroupSize, Logp, Node
from alignc.graph.rewrite import token_count
from alignc.lower.loss import Metric

__all__ = ["RATIOS", "policy_metrics", "value_metrics"]

Y = COMPLETIONS
RATIOS = ("val/ratio",)
"""What is 1 before the first update of a rollout."""


def policy_metrics(
    advantage: Node, ratio: Node | None, held: Node | None, kl: Node | None, value: Node | None
) -> list[Metric]:
    """List the ratio, how far the policy has moved, how much is clipped, and the KL where it is in the loss.

    `held` is the ratio as the clip leaves it, where a clip may take the gradient away.
    """
    found = [] if value is None else [Metric("loss/policy_avg", value)]
    if ratio is not None:
        found.append(Metric("val/ratio", averaged(ratio)))
        moved = b.bare(b.subtract(Logp(POLICY, Y), Logp(ROLLOUT, Y)))
        found.append(Metric("policy/approxkl_avg", averaged(b.multiply(b.constant(0.5), b.power(moved, 2)))))
    if ratio is not None and held is not None:
        found.append(Metric("policy/clipfrac_avg", averaged(_clipped(ratio, held, advantage))))
    if kl is not None:
        found.append(Metric("kl", averaged(kl)))
    return [*found, Metric("logps/completions", averaged(b.sum_over("token", Logp(POLICY, Y))))]


def _clipped(ratio: Node, held: Node, advantage: Node) -> Node:
    """Mark what the clip has taken the gradient from: too likely where A > 0, too unlikely where A < 0.

    ρ is above its clip where it is too likely and below where it is too unlikely, so that (ρ − clip)·A > 0 says both.
    """
    return b.apply("step", b.multiply(b.subtract(ratio, held), advantage))


def averaged(node: Node) -> Node:
    """Average over the tokens of the global batch, or over its responses."""
    if node.type.axis.by_token:
        rows = b.sum_over("group", b.sum_over("token", node))
        return b.divide(b.sum_over("batch", rows), b.sum_over("batch", b.sum_over("group", token_count(Y))))
    return b.mean_over("batch", b.divide(b.sum_over("group", node), GroupSize()))


def value_metrics(value: Node, target: Node, loss: Node) -> list[Metric]:
    """List the critic's own loss, its mean value and the mean return."""
    return [
        Metric("loss/value_avg", loss),
        Metric("val/value", averaged(value)),
        Metric("val/return", averaged(target)),
    ]

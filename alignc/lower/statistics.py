"""Statistics: what a row's loss reads of the other rows of the global batch, without gradient."""

from __future__ import annotations

from alignc.contract.responses import in_order
from alignc.graph.nodes import Logp, Matched, Node, Output, Reduce, Running
from alignc.graph.rewrite import inputs
from alignc.graph.walk import children, walk
from alignc.lower.loss import Loss

__all__ = ["KINDS", "kind", "loss_responses", "rows_of", "statistic_responses", "statistics"]

KINDS = {"Reduce": "mean", "Running": "running", "Matched": "matched"}


def statistics(loss: Loss) -> list[Node]:
    """List a loss's statistics, each once, in the order of the graph."""
    found = [n for term in loss.terms for n in walk(term.rows) if _is_statistic(n)]
    return list(dict.fromkeys(found))


def _is_statistic(node: Node) -> bool:
    return isinstance(node, Matched | Running) or (isinstance(node, Reduce) and node.over == "batch")


def kind(node: Node) -> str:
    """Name how row values become the statistic: `mean`, `running` (over the whole job) or `matched` by rank."""
    return KINDS[type(node).__name__]


def rows_of(node: Node) -> tuple[Node, ...]:
    """List the row values that a statistic is made of."""
    return children(node)


def statistic_responses(loss: Loss) -> tuple[str, ...]:
    """List the responses that must be scored before the loss."""
    return _responses([row for node in statistics(loss) for row in rows_of(node)])


def loss_responses(loss: Loss) -> tuple[str, ...]:
    """List the responses that the loss and its metrics score themselves, statistics given."""
    hidden = set(statistics(loss))
    open_nodes, seen = list(loss.outputs), set()
    while open_nodes:
        node = open_nodes.pop()
        if node in seen:
            continue
        seen.add(node)
        open_nodes.extend(() if node in hidden else children(node))
    return _responses(list(seen), deep=False)


def _responses(nodes: list[Node], *, deep: bool = True) -> tuple[str, ...]:
    leaves = inputs(*nodes) if deep else nodes
    return in_order(n.response for n in leaves if isinstance(n, Logp | Output))

"""The derivative of a loss by a trained output, with the true normalisation of the batch."""

from __future__ import annotations

from alignc.contract.models import POLICY
from alignc.contract.outputs import OUTPUTS, Quantity
from alignc.graph import build as b
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Column, Logp, Matched, Node, Output, Reduce, Running, Stop
from alignc.graph.rewrite import inputs, rebuilt
from alignc.graph.types import Unit
from alignc.graph.walk import children, walk
from alignc.lower.loss import Loss

__all__ = ["ROWS", "by_row", "other_outputs", "row_share", "slope", "summed", "trained_output"]

ROWS = Column("N", None, Unit())
"""The number of rows of the global batch."""


def by_row(loss: Loss) -> bool:
    """Return whether the loss is a mean over rows, so that each row has a loss of its own."""
    return all(n.kind == "mean" for n in summed(loss.root))


def row_share(loss: Loss) -> Node:
    """Write what one row adds to the loss: its own loss if the batch is a mean, else its share of the total."""
    done: dict[Node, Node] = {}
    alone, reduced = by_row(loss), set(summed(loss.root))
    for node in walk(loss.root):
        if isinstance(node, Stop | Running | Matched) or not node.type.trained:
            done[node] = node
        elif isinstance(node, Reduce) and node in reduced:
            share = done[node.argument]
            done[node] = share if alone or node.kind == "sum" else b.divide(share, ROWS)
        else:
            done[node] = rebuilt(node, done)
    return done[loss.root]


def summed(root: Node) -> list[Reduce]:
    """List the reductions over the batch that a gradient passes."""
    found: list[Reduce] = []
    open_nodes, seen = [root], set[Node]()
    while open_nodes:
        node = open_nodes.pop()
        if node in seen or not node.type.trained:
            continue
        seen.add(node)
        if isinstance(node, Reduce) and node.over == "batch":
            found.append(node)
        open_nodes.extend(children(node))
    return found


def slope(loss: Loss, leaf: Node) -> Node:
    """Differentiate the share of a row by a trained output of it."""
    return gradient(row_share(loss), leaf)


def trained_output(loss: Loss, response: str) -> Node:
    """Return the trained output of a response: its log-probability, or the score of a reward model."""
    score = Output(Quantity.SCORE, POLICY, response)
    return score if score in inputs(loss.root) else Logp(POLICY, response)


def other_outputs(loss: Loss) -> list[Output]:
    """List the trained outputs other than log-probabilities and scores."""
    return [n for n in inputs(loss.root) if isinstance(n, Output) and OUTPUTS[n.quantity].moves]

"""The outline of a loss: its inputs, the values that have names, and what flows into what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from alignc.contract.outputs import OUTPUTS
from alignc.contract.responses import RESPONSES
from alignc.graph.nodes import Column, Length, Logp, Named, Node, Output, Reduce, Stop
from alignc.graph.walk import children
from alignc.lower.loss import Loss
from alignc.printers.dialect import TEXT
from alignc.printers.formula import text
from alignc.printers.terms import objective

__all__ = ["Edge", "Outline", "Vertex", "outline"]

INPUTS = (Column, Length, Logp, Output)


@dataclass(frozen=True)
class Vertex:
    """What is drawn as a box: `kind` is `policy`, `reference`, `data`, `value` or `loss`."""

    key: str
    kind: str
    title: str
    formula: str
    meaning: str


@dataclass(frozen=True)
class Edge:
    """What flows from one box into another; without gradient where `stopped`."""

    start: str
    end: str
    stopped: bool


@dataclass(frozen=True)
class Outline:
    """The boxes in the order of evaluation, and what joins them."""

    vertices: tuple[Vertex, ...]
    edges: tuple[Edge, ...]


def outline(loss: Loss) -> Outline:
    """Draw the graph together: model outputs and columns, named values, the loss."""
    keys: dict[Node, str] = {}
    vertices: list[Vertex] = []
    edges: list[Edge] = []
    root = objective(loss)
    _place(root, Vertex("loss", "loss", "L", text(root), "the loss"), keys, vertices, edges)
    return Outline(tuple(vertices), tuple(dict.fromkeys(edges)))


def _place(
    node: Node, shown: Vertex, keys: dict[Node, str], vertices: list[Vertex], edges: list[Edge]
) -> None:
    """Place what flows into a box, then the box."""
    keys[node] = shown.key
    if isinstance(node, INPUTS):
        vertices.append(shown)
        return
    for source, stopped in _sources(node.argument if isinstance(node, Named) else node, False, root=True):
        if source not in keys:
            _place(source, _vertex(source, len(keys)), keys, vertices, edges)
        edges.append(Edge(keys[source], shown.key, stopped))
    vertices.append(shown)


def _sources(node: Node, stopped: bool, *, root: bool = False) -> Iterator[tuple[Node, bool]]:
    """Find the nearest boxes below a node."""
    if isinstance(node, INPUTS) or (isinstance(node, Named) and not root):
        yield node, stopped or not node.type.trained
        return
    for child in children(node):
        yield from _sources(child, stopped or isinstance(node, Stop))


def _vertex(node: Node, number: int) -> Vertex:
    key = f"v{number}"
    match node:
        case Named(symbol=symbol, meaning=meaning, argument=argument):
            return Vertex(key, "value", TEXT.symbol(symbol), text(argument), meaning)
        case Logp(model=model, response=response):
            whole = Reduce("sum", "token", node)
            kind = "policy" if model == "policy" else "reference"
            return Vertex(key, kind, text(whole), "", f"log-probability of {RESPONSES[response].text}")
        case Output(quantity=quantity):
            return Vertex(key, "policy", text(node), "", OUTPUTS[quantity].words)
        case Length():
            return Vertex(key, "data", text(node), "", "tokens of the response")
    return Vertex(key, "data", text(node), "", "column of the data")

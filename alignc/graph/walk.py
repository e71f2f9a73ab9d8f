"""Walk a graph: the arguments of a node, and every node below some roots."""

from __future__ import annotations

from collections.abc import Iterator

from alignc.graph.nodes import Add, Apply, Matched, Multiply, Named, Node, Power, Reduce, Running, Stop

__all__ = ["children", "walk"]


def children(node: Node) -> tuple[Node, ...]:
    """List a node's direct arguments."""
    match node:
        case Add(terms=inner) | Multiply(factors=inner) | Apply(arguments=inner):
            return inner
        case (
            Power(base=one)
            | Reduce(argument=one)
            | Stop(argument=one)
            | Named(argument=one)
            | Running(argument=one)
        ):
            return (one,)
        case Matched(argument=one, like=other):
            return (one, other)
    return ()


def walk(*roots: Node) -> Iterator[Node]:
    """Visit each node once; arguments come before their users."""
    seen: set[int] = set()
    for root in roots:
        yield from _walk(root, seen)


def _walk(node: Node, seen: set[int]) -> Iterator[Node]:
    if id(node) in seen:
        return
    seen.add(id(node))
    for child in children(node):
        yield from _walk(child, seen)
    yield node

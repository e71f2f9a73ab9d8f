"""Rewrite: rebuild a graph through the folding constructors, with some nodes replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from alignc.graph.build import add, apply, bare, constant, multiply, power, stop
from alignc.graph.nodes import (
    Add,
    Apply,
    Column,
    Constant,
    GroupSize,
    Length,
    Logp,
    Matched,
    Multiply,
    Named,
    Node,
    Output,
    Over,
    Position,
    Power,
    Reduce,
    Reduction,
    Running,
    Stop,
)
from alignc.graph.types import CONSTANT, GROUP, Axis
from alignc.graph.walk import walk

LEAVES = (Column, GroupSize, Length, Logp, Output, Position)

__all__ = ["inputs", "rebuilt", "substitute", "token_count", "without_names"]


def inputs(*roots: Node) -> list[Node]:
    """List the inputs that a graph reads: columns, lengths and log-probabilities."""
    return [n for n in walk(*roots) if isinstance(n, LEAVES)]


def substitute(root: Node, replacements: Mapping[Node, Node]) -> Node:
    """Replace nodes, and fold values that become constant."""
    done: dict[Node, Node] = dict(replacements)
    for node in walk(root):
        if node not in done:
            done[node] = rebuilt(node, done)
    return done[root]


def rebuilt(node: Node, done: Mapping[Node, Node]) -> Node:
    """Build a node again over replaced arguments."""
    match node:
        case Add(terms=terms):
            return add(*(done[t] for t in terms))
        case Multiply(factors=factors):
            return multiply(*(done[f] for f in factors))
        case Power(base=base, exponent=n):
            return power(done[base], n)
        case Apply(function=function, arguments=arguments):
            return apply(function, *(done[a] for a in arguments))
        case Reduce(kind=kind, over=over, argument=argument):
            return _reduced(kind, over, done[argument], argument.type.axis)
        case Stop(argument=argument):
            return stop(done[argument])
        case Matched(argument=argument, like=like):
            return stop(done[like]) if done[argument] is done[like] else Matched(done[argument], done[like])
        case Running(argument=argument):
            return done[argument] if done[argument].type.axis == CONSTANT else Running(done[argument])
        case Named(argument=argument):
            return _named(node, done[argument])
    return node


def _reduced(kind: Reduction, over: Over, argument: Node, axis: Axis) -> Node:
    if over == "token" and not argument.type.axis.by_token:  # the same for every token
        return multiply(argument, token_count(axis.response))
    if isinstance(argument, Constant) and (argument.value == 0 or kind == "mean"):
        return argument
    if kind == "mean" and argument.type.axis.single:
        return argument
    if over == "group" and argument.type.axis != GROUP:  # the same for every response of the group
        alike = {"pairs": constant(0), "mean": argument}
        return alike.get(kind) or multiply(GroupSize(), argument)
    return Reduce(kind, over, argument)


def token_count(response: str) -> Node:
    """Count a response's tokens, as a number without a unit."""
    return bare(Length(response))


def _named(node: Named, argument: Node) -> Node:
    return argument if isinstance(argument, Constant) else replace(node, argument=argument)


def without_names(root: Node) -> Node:
    """Remove the names, so that the values under them are folded."""
    done: dict[Node, Node] = {}
    for node in walk(root):
        done[node] = done[node.argument] if isinstance(node, Named) else rebuilt(node, done)
    return done[root]

"""Derive: the gradient of one node with respect to another, as a graph.

Reverse mode. The derivative with respect to a response's token log-probabilities is, for a loss that sees them
through their sum alone, the coefficient on ∇log π(y); axis `sequence` says so.
"""

from __future__ import annotations

import ast

from alignc.formula.parsing import FormulaError, parse, whole
from alignc.graph.build import ONE, ZERO, add, apply, constant, divide, multiply, negate, power, subtract
from alignc.graph.functions import FUNCTIONS
from alignc.graph.nodes import Add, Apply, GroupSize, Multiply, Named, NamedRole, Node, Power, Reduce
from alignc.graph.rewrite import token_count
from alignc.graph.types import GROUP, response_axis
from alignc.graph.walk import children, walk

__all__ = ["from_formula", "gradient"]


def gradient(root: Node, wrt: Node) -> Node:
    """Differentiate `root` with respect to `wrt`; stop-gradients are honoured."""
    adjoints: dict[Node, Node] = {root: ONE}
    order = list(walk(root))
    named = {n.argument: n for n in order if isinstance(n, Named) and n.role is not NamedRole.ROW_LOSS}
    for node in reversed(order):
        adjoint = adjoints.get(node)
        if adjoint is None or node is wrt or not node.type.trained:
            continue
        for child, slope in _slopes(node, named.get(node, node)):
            if child.type.trained:
                flow = _gathered(multiply(adjoint, slope), node, child)
                adjoints[child] = add(adjoints.get(child, ZERO), flow)
    return adjoints.get(wrt, ZERO)


def _gathered(flow: Node, node: Node, child: Node) -> Node:
    """Sum the gradient over the tokens or the responses that read one number, from each of which it comes."""
    axis, inner = node.type.axis, child.type.axis
    if inner.by_token:
        return flow
    if axis.by_token:
        by_token = flow.type.axis.by_token
        flow = Reduce("sum", "token", flow) if by_token else multiply(flow, token_count(axis.response))
        axis = response_axis(axis.response)
    if axis == GROUP and inner != GROUP:
        return Reduce("sum", "group", flow) if flow.type.axis == GROUP else multiply(flow, GroupSize())
    return flow


def _slopes(node: Node, itself: Node) -> list[tuple[Node, Node]]:
    """List the derivative of a node by each argument; `itself` is the node, or its named node."""
    match node:
        case Add(terms=terms):
            return [(t, ONE) for t in terms]
        case Multiply(factors=factors):
            return [(f, multiply(*factors[:i], *factors[i + 1 :])) for i, f in enumerate(factors)]
        case Power(base=base, exponent=n):
            return [(base, multiply(constant(n), power(base, n - 1)))]
        case Apply(function="exp", arguments=(argument,)):
            return [(argument, itself)]
        case Apply(function="min", arguments=(free, clipped)) if _is_clipped(free, clipped):
            return [(free, apply("at_most", free, clipped)), (clipped, ZERO)]
        case Apply(function=function, arguments=arguments):
            rows = FUNCTIONS[function].derivative
            names = dict(zip("xyz", arguments, strict=False))
            return [(a, from_formula(rows[i], names)) for i, a in enumerate(arguments)]
        case Reduce(kind="pairs", argument=argument):
            away = subtract(argument, divide(Reduce("sum", "group", argument), GroupSize()))
            return [(argument, multiply(constant(2), GroupSize(), away))]
        case Reduce(kind="sum", over="token" | "group", argument=argument) | Named(argument=argument):
            return [(argument, ONE)]
    if any(c.type.trained for c in children(node)):
        raise TypeError(f"no derivative of {type(node).__name__}")
    return []


def _is_clipped(free: Node, clipped: Node) -> bool:
    """Return whether a node is min(ρ·A, clip(ρ)·A); where the clipped part is smaller, the slope is 0."""
    ratios = free.factors if isinstance(free, Multiply) else (free,)
    bounded = clipped.factors if isinstance(clipped, Multiply) else (clipped,)
    found = [f for f in bounded if isinstance(f, Apply) and f.function == "clip" and f.arguments[0] in ratios]
    return len(found) == 1 and {*ratios} - {found[0].arguments[0]} == {*bounded} - {found[0]}


def from_formula(text: str, names: dict[str, Node]) -> Node:
    """Build a graph from a formula of the table over named nodes."""
    return _built(parse(text, frozenset(FUNCTIONS)), names)


def _built(tree: ast.expr, names: dict[str, Node]) -> Node:
    match tree:
        case ast.Constant(value=int() | float() as number):
            return constant(number)
        case ast.Name(id=identifier):
            return names[identifier]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return negate(_built(operand, names))
        case ast.UnaryOp(operand=operand):
            return _built(operand, names)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return power(_built(left, names), whole(right))
        case ast.BinOp(left=left, op=op, right=right):
            return _combined(op, _built(left, names), _built(right, names))
        case ast.Call(func=ast.Name(id=function), args=args):
            if len(args) != len(FUNCTIONS[function].derivative):
                raise FormulaError(f"`{function}` does not take {len(args)} arguments", tree.col_offset + 1)
            return apply(function, *(_built(a, names) for a in args))
    raise TypeError(f"not in a formula: {ast.dump(tree)}")


def _combined(op: ast.operator, left: Node, right: Node) -> Node:
    match op:
        case ast.Add():
            return add(left, right)
        case ast.Sub():
            return add(left, negate(right))
        case ast.Mult():
            return multiply(left, right)
        case ast.Div():
            return multiply(left, power(right, -1))
    raise TypeError(f"not an operator of a graph: {ast.dump(op)}")

"""Formulas in a spec: a whitelist of arithmetic, parsed and never evaluated as Python.

A preset writes `=1/(2*tau)` for a number of a term that depends on a parameter.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Collection, Mapping

__all__ = ["FormulaError", "names", "parse", "require", "value_of", "whole"]

MAX_LENGTH, MAX_EXPONENT = 400, 64
SPELT = "lambd_"
"""How `lambda` is spelt while Python reads a formula: as long, so that columns stay."""
OPERATORS: dict[type[ast.AST], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


class FormulaError(ValueError):
    """A formula that the whitelist refuses; `column` counts from 1 in the formula."""

    def __init__(self, message: str, column: int = 1) -> None:
        super().__init__(message)
        self.column = column


def parse(text: str, functions: frozenset[str] = frozenset()) -> ast.expr:
    """Parse a formula and check each of its nodes against the whitelist.

    The whitelist has numbers, names, + − * / **, brackets, and calls of the given functions.
    Raises FormulaError with the column of the error.
    """
    if len(text) > MAX_LENGTH:
        raise FormulaError(f"a formula has at most {MAX_LENGTH} characters")
    try:
        tree = _tree(text.strip())
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise FormulaError(
            "this is not a formula", _in_text(text, getattr(error, "offset", 1) or 1)
        ) from None
    try:
        _check(tree, functions, 0)
    except FormulaError as error:
        raise FormulaError(str(error), _in_text(text, error.column)) from None
    return tree


def _tree(text: str) -> ast.expr:
    """Parse with the name `lambda`, the one Greek letter that Python keeps for itself."""
    tree = ast.parse(re.sub(r"\blambda\b(?=\s*([-+*/),]|$))", SPELT, text), mode="eval").body
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == SPELT:
            node.id = "lambda"
    return tree


def _in_text(text: str, column: int) -> int:
    """Return a column of the formula as a column of the text, which may start with blanks."""
    return column + len(text) - len(text.lstrip())


def require(tree: ast.expr, known: Collection[str], what: str) -> None:
    """Raise FormulaError at the first unknown name; `what` describes the formula in the message.

    Exponents must be whole numbers.
    """
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and id(node) not in called and node.id not in known:
            raise FormulaError(f"unknown name `{node.id}`; {what}", node.col_offset + 1)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            whole(node.right)


def whole(node: ast.expr) -> int:
    """Read an exponent. Raises FormulaError unless it is a whole number of at most 64."""
    match node:
        case ast.Constant(value=int() as value) if abs(value) <= MAX_EXPONENT:
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)) if value <= MAX_EXPONENT:
            return -value
    message = f"an exponent must be a whole number of at most {MAX_EXPONENT}; write other powers with sqrt, exp and log"
    raise FormulaError(message, node.col_offset + 1)


def _check(node: ast.expr, functions: frozenset[str], depth: int) -> None:
    if depth > 40:
        raise FormulaError("the formula is nested too deeply", node.col_offset + 1)
    for inner in _parts(node, functions):
        _check(inner, functions, depth + 1)


def _parts(node: ast.expr, functions: frozenset[str]) -> list[ast.expr]:
    match node:
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            return []
        case ast.Name():
            return []
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return [left, right]
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            return [operand]
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in functions:
            return list(args)
    raise FormulaError(f"`{ast.unparse(node)}` is not allowed in a formula", node.col_offset + 1)


def names(tree: ast.expr) -> set[str]:
    """Collect the names in a parsed formula, without its functions."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}


def value_of(tree: ast.expr, values: Mapping[str, float]) -> float:
    """Evaluate a parsed arithmetic formula. Raises FormulaError for an unknown name or a value that is not finite."""
    try:
        return _value(tree, values)
    except KeyError as error:
        raise FormulaError(f"unknown name `{error.args[0]}`") from None
    except (ArithmeticError, ValueError):
        raise FormulaError("the formula has no finite value") from None


def _value(node: ast.expr, values: Mapping[str, float]) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name):
            return values[name]
        case ast.UnaryOp(op=op, operand=operand):
            inner = _value(operand, values)
            return -inner if isinstance(op, ast.USub) else inner
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATORS[type(op)](_value(left, values), _value(right, values))
    raise FormulaError(f"`{ast.unparse(node)}` has no value", node.col_offset + 1)

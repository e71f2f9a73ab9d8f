"""Build a spec's own formula: whitelisted, and with the column of what is wrong with it."""

from __future__ import annotations

from alignc.graph.functions import FUNCTIONS
from alignc.graph.gradient import from_formula
from alignc.graph.nodes import Node
from alignc.graph.types import GraphTypeError
from alignc.spec import formula

__all__ = ["own_formula"]

ALLOWED = frozenset(FUNCTIONS) - {"at_most", "clip", "max", "min"}


def own_formula(text: str, names: dict[str, Node], what: str) -> Node:
    """Build a graph from a formula over named values; `what` says what the formula is, for messages.

    Raises GraphTypeError E003 with the column of the first character that is wrong.
    """
    try:
        formula.require(formula.parse(text, ALLOWED), names, what)
        return from_formula(text, names)
    except formula.FormulaError as error:
        raise GraphTypeError(f"`{text}`: {error}", "E003", error.column) from None
    except ArithmeticError:
        raise GraphTypeError(f"`{text}` has no finite value", "E003") from None

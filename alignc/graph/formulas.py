"""Build a spec's own formula: whitelisted, and with the column of what is wrong with it."""

from __future__ import annotations

import math
from typing import Any

from alignc.graph.evaluate import evaluate
from alignc.graph.functions import FUNCTIONS
from alignc.graph.gradient import from_formula, gradient
from alignc.graph.nodes import Node, Output
from alignc.graph.types import GraphTypeError
from alignc.spec import formula

__all__ = ["own_formula"]

ALLOWED = frozenset(FUNCTIONS) - {"at_most", "clip", "max", "min"}


def own_formula(text: str, names: dict[str, Node], what: str, over: str | None = None) -> Node:
    """Build a graph from a formula over named values; `what` says what the formula is, for messages.

    `over` names the value that may be any number, on either side of 0, which is where training starts.
    Raises GraphTypeError: E003 with the column of the first character that is wrong, E004 where value or slope are
    not finite.
    """
    try:
        formula.require(formula.parse(text, ALLOWED), names, what)
        built = from_formula(text, names)
        if over is not None:
            _check_line(text, names, over)
        return built
    except formula.FormulaError as error:
        raise GraphTypeError(f"`{text}`: {error}", "E003", error.column) from None
    except ArithmeticError:
        raise GraphTypeError(f"`{text}` has no finite value", "E003") from None


def _check_line(text: str, names: dict[str, Node], over: str) -> None:
    """Try a formula and its slope at a few numbers, 0 first."""
    probe = Output("score", "policy", "completion")
    built = from_formula(text, {**names, over: probe})
    for what, node in (("value", built), ("slope", gradient(built, probe))):
        for at in (0.0, -1.0, 1.0):
            if not _finite(evaluate(node, {probe: [at]})):
                raise GraphTypeError(f"`{text}` has no finite {what} at {over} = {at:g}", "E004")


def _finite(found: Any) -> bool:
    return all(math.isfinite(x) for x in (found if isinstance(found, list) else [found]))

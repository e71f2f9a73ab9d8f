"""Build the formula of a spec: its functions are whitelisted, and an error has its column."""

from __future__ import annotations

import math

from alignc.contract.models import POLICY
from alignc.contract.outputs import Quantity
from alignc.contract.responses import COMPLETION
from alignc.formula import parsing as formula
from alignc.graph.evaluate import evaluate
from alignc.graph.functions import FUNCTIONS
from alignc.graph.gradient import from_formula, gradient
from alignc.graph.nodes import Node, Output
from alignc.graph.types import GraphTypeError

__all__ = ["own_formula"]

ALLOWED = frozenset(FUNCTIONS) - {"at_most", "clip", "max", "min"}


def own_formula(text: str, names: dict[str, Node], what: str, over: str | None = None) -> Node:
    """Build a graph from a formula over named values; `what` describes the formula in messages.

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
    """Evaluate a formula and its slope at the start of training and on both sides; large numbers may overflow there."""
    probe = Output(Quantity.SCORE, POLICY, COMPLETION)
    built = from_formula(text, {**names, over: probe})
    slope = gradient(built, probe)
    tries = ((built, 0.0, "value"), (slope, 0.0, "slope"), (built, -1.0, "value"), (built, 1.0, "value"))
    for node, at, what in tries:
        found = evaluate(node, {probe: [at]})
        number = found[0] if isinstance(found, list) else found
        if math.isnan(number) or (at == 0 and math.isinf(number)):
            raise GraphTypeError(f"`{text}` has no finite {what} at {over} = {at:g}", "E004")

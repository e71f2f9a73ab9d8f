"""Build the formula of a spec: its functions are whitelisted, and an error has its column."""

from __future__ import annotations

import math
from dataclasses import dataclass

from alignc.contract.models import POLICY
from alignc.contract.outputs import Quantity
from alignc.contract.responses import COMPLETION
from alignc.formula import parsing as formula
from alignc.graph.evaluate import evaluate
from alignc.graph.functions import FUNCTIONS
from alignc.graph.gradient import from_formula, gradient
from alignc.graph.nodes import Node, Output
from alignc.graph.types import GraphTypeError

__all__ = ["Line", "own_formula"]

ALLOWED = frozenset(FUNCTIONS) - {"at_most", "clip", "max", "min"}


@dataclass(frozen=True)
class Line:
    """What the name of a formula may be: `starts` where training starts, and other numbers that rows may have."""

    over: str
    starts: tuple[float, ...] = (0.0,)
    others: tuple[float, ...] = (-1.0, 1.0, -30.0, 30.0)


def own_formula(text: str, names: dict[str, Node], what: str, line: Line) -> Node:
    """Build a graph from a formula over named values; `what` describes the formula in messages.

    Raises GraphTypeError: E003 with the column of the first character that is wrong, E004 where value or slope are
    not finite on the line.
    """
    try:
        formula.require(formula.parse(text, ALLOWED), names, what)
        built = from_formula(text, names)
        _check_line(text, names, line)
        return built
    except formula.FormulaError as error:
        raise GraphTypeError(f"`{text}`: {error}", "E003", error.column) from None
    except ArithmeticError:
        raise GraphTypeError(f"`{text}` has no finite value", "E003") from None


def _check_line(text: str, names: dict[str, Node], line: Line) -> None:
    """Evaluate a formula and its slope at the start of training, and its value elsewhere; there it may overflow."""
    probe = Output(Quantity.SCORE, POLICY, COMPLETION)
    built = from_formula(text, {**names, line.over: probe})
    slope = gradient(built, probe)
    started = [(node, at, what) for at in line.starts for node, what in ((built, "value"), (slope, "slope"))]
    for node, at, what in (*started, *((built, at, "value") for at in line.others)):
        found = evaluate(node, {probe: [at]})
        number = found[0] if isinstance(found, list) else found
        if math.isnan(number) or (at in line.starts and math.isinf(number)):
            raise GraphTypeError(f"`{text}` has no finite {what} at {line.over} = {at:g}", "E004")

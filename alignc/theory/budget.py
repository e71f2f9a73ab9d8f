"""The budget of symbolic work: counted in operations and terms, never in seconds.

Beyond it nothing is simplified, expanded or solved, and what depends on that is undecided.
"""

from __future__ import annotations

from math import comb
from typing import Any

import sympy as sp

__all__ = ["HIGHEST", "MANY", "affordable", "terms"]

MANY, WIDE, HIGHEST = 24, 40, 12
"""The most operations of an expression, the most terms after it is expanded, and the highest power."""
KINKED = (sp.Max, sp.Min, sp.Piecewise, sp.Heaviside)


def affordable(expression: Any) -> bool:
    """Return whether an expression is short, narrow when expanded, and has no kink but at 0."""
    if sp.count_ops(expression) >= MANY or expression.has(*KINKED):
        return False
    for part in sp.preorder_traversal(expression):
        if isinstance(part, sp.Abs | sp.sign) and not part.args[0].is_Symbol:
            return False
        if isinstance(part, sp.Pow) and part.exp.is_Integer and abs(int(part.exp)) > HIGHEST:
            return False
    return terms(expression) <= WIDE


def terms(expression: Any) -> int:
    """Count the terms of an expression if it were expanded: (a + b)^3 has 4.

    Powers below 0 count as those above, because a common denominator expands them.
    """
    if expression.is_Add:
        return sum(map(terms, expression.args))
    if expression.is_Mul:
        count = 1
        for factor in expression.args:
            count *= terms(factor)
        return count
    if expression.is_Pow and expression.exp.is_Integer:
        power = abs(int(expression.exp))
        return comb(power + terms(expression.base) - 1, power)
    return max(map(terms, expression.args), default=1)

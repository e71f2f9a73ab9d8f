"""The emitted source: `loss.py` from the graph. No text of a spec gets in: only the compiler's names and numbers."""

from __future__ import annotations

import re

from alignc.emit.render import rendered
from alignc.emit.tools import TOOLS
from alignc.explain import Explanation
from alignc.lower.loss import Loss
from alignc.printers.torch import TorchSource, torch_source

__all__ = ["loss_source"]


def loss_source(loss: Loss, explained: Explanation) -> str:
    """Print `loss.py`."""
    printed = torch_source(loss)
    text = rendered(
        "loss.py.j2",
        formula=explained.formula,
        where=[(w.symbol, w.definition, w.note) for w in explained.where],
        gradient=[f"{c.of} = {c.formula}" for c in explained.gradient],
        parameters=printed.parameters,
        lines=printed.lines,
        loss=printed.loss,
        metrics=printed.metrics,
        statistic_lines=printed.statistic_lines,
        statistics=printed.statistics,
        penalty_lines=printed.penalty_lines,
        penalty=printed.penalty,
        tools=[TOOLS[name] for name in TOOLS if name in printed.tools],
        functional=_uses_functional(printed),
    )
    return re.sub(r"\n{4,}", "\n\n\n", text)


def _uses_functional(printed: TorchSource) -> bool:
    lines = [e for _, e, _ in [*printed.lines, *printed.statistic_lines, *printed.penalty_lines]]
    expressions = [*lines, *(e for _, e in printed.metrics), printed.loss, printed.penalty or ""]
    return any("F." in e for e in expressions)

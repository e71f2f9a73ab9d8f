"""The emitted source: `loss.py` from the graph. It contains names of the compiler and numbers, no text of a spec."""

from __future__ import annotations

import re
from collections.abc import Iterable

from alignc.claims.model import Slope
from alignc.claims.render import equation_text
from alignc.emit.render import rendered
from alignc.emit.tools import TOOLS, called
from alignc.explain import Explanation
from alignc.lower.loss import Loss
from alignc.printers.folding import folded

__all__ = ["header", "loss_source"]


def loss_source(loss: Loss, explained: Explanation) -> str:
    """Print `loss.py`."""
    from alignc.printers.torch_source import torch_source  # `validate` and `explain` print no source

    printed = torch_source(loss)
    bodies = [b for b in (printed.loss, printed.statistics, printed.penalty) if b is not None]
    lines = [line for b in bodies for line in (*b.lines, *b.late, *b.results)]
    text = rendered(
        "loss.py.j2",
        formula=_formula(explained),
        shape="[rows, k, time]" if loss.view.group else "[rows, time]",
        gradient=_indented(equation_text(c) for c in explained.claims if isinstance(c, Slope)),
        parameters=printed.parameters,
        loss=printed.loss,
        statistics=printed.statistics,
        penalty=printed.penalty,
        tools=[TOOLS[name] for name in TOOLS if name in called(printed.tools)],
        functional="F." in "\n".join(lines),
    )
    return re.sub(r"\n{4,}", "\n\n\n", text)


def header(explained: Explanation, after: str = "") -> str:
    """Write the formula and the losses of its terms for the docstring of a file. `after` follows the formula."""
    lines = [explained.formula + after, *explained.losses]
    return "\n".join(part for line in lines for part in folded(line, "", " " * 4))


def _formula(explained: Explanation) -> list[str]:
    """Write the formula, the losses of its terms and its symbols."""
    where = (f"{w.symbol} = {w.definition}   ({w.note})" for w in explained.where)
    return _indented([explained.formula, *explained.losses, *where])


def _indented(lines: Iterable[str]) -> list[str]:
    return [folded_line for line in lines for folded_line in folded(line, " " * 4, " " * 8)]

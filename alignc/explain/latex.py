"""Write an explanation as LaTeX: a fragment for a document that loads amsmath and amssymb."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from alignc.claims.model import Slope
from alignc.claims.render import Line, as_latex
from alignc.claims.slopes import by_row, other_outputs, slope, trained_output
from alignc.explain.model import Explanation
from alignc.explain.show import parts, shown_value
from alignc.lower.loss import Loss
from alignc.printers.terms import objective, term_losses
from alignc.printers.tex import mathematics, plain_text, printed

__all__ = ["Formulas", "formulas", "fragment"]


@dataclass(frozen=True)
class Formulas:
    """The mathematics of a loss in LaTeX: itself, what its symbols are, and its gradient."""

    loss: str
    losses: tuple[str, ...]
    """The loss of each term, where there are several."""
    where: tuple[tuple[str, str], ...]
    """Symbol and definition, with a note in words."""
    notes: tuple[str, ...]
    gradient: tuple[str, ...]


def formulas(loss: Loss) -> Formulas:
    """Print the mathematics of a loss."""
    shown = loss.named
    where = tuple((printed(n), printed(n.argument)) for n in shown)
    notes = tuple(n.meaning + (f", {n.type.unit}" if n.type.unit.powers else "") for n in shown)
    leaves = [
        *((trained_output(loss, y), y) for y in loss.view.responses),
        *((n, n.response) for n in other_outputs(loss)),
    ]
    slopes = tuple(as_latex((Slope(leaf, y, slope(loss, leaf), by_row(loss)),)) for leaf, y in leaves)
    whole = f"L = {printed(objective(loss), loss.written_out)}"
    losses = tuple(f"{printed(n)} = {printed(n.argument, loss.written_out)}" for n in term_losses(loss))
    return Formulas(whole, losses, where, notes, slopes)


def fragment(explained: Explanation, loss: Loss) -> str:
    """Write the explanation as LaTeX, to be put into a document that loads amsmath and amssymb."""
    return "\n".join(_lines(explained, formulas(loss))) + "\n"


def _lines(e: Explanation, shown: Formulas) -> Iterator[str]:
    yield "% needs: \\usepackage{amsmath,amssymb}"
    yield rf"\subsection*{{{plain_text(e.title)} ({plain_text(e.name)})}}"
    if e.paper:
        yield plain_text(e.paper) + "."
    yield from (rf"\[ {line} \]" for line in (shown.loss, *shown.losses))
    if shown.where:
        yield "where"
    for (symbol, definition), note in zip(shown.where, shown.notes, strict=True):
        yield rf"\[ {symbol} = {definition} \qquad \text{{{plain_text(note)}}} \]"
    yield from _values(e)
    for label, found in parts(e):
        yield from _section(label, found)


def _values(e: Explanation) -> Iterator[str]:
    if not e.values:
        return
    yield r"\begin{center}\begin{tabular}{lllll}"
    for v in e.values:
        cells = (shown_value(v.value), v.unit, v.field, v.origin)
        yield " & ".join([rf"\({mathematics(v.symbol)}\)", *map(plain_text, cells)]) + r" \\"
    yield r"\end{tabular}\end{center}"


def _section(label: str, lines: Sequence[str | Line]) -> Iterator[str]:
    if not lines:
        return
    yield rf"\paragraph{{{label}}}"
    shown = [as_latex(line) if isinstance(line, tuple) else plain_text(line) for line in lines]
    if len(shown) == 1:
        yield shown[0]
        return
    yield r"\begin{itemize}"
    yield from (rf"\item {line}" for line in shown)
    yield r"\end{itemize}"

"""Claims in every format: one renderer each for text, LaTeX, pages and JSON, over the same pieces."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from enum import Enum
from html import escape
from typing import Any

from alignc.claims.kinds.spec import Prose
from alignc.claims.model import Claim, Push, Section, Slope, SlopeAtStart, StepZero, When
from alignc.claims.words import Derivative, Formula, Piece, pieces
from alignc.contract.outputs import OUTPUTS
from alignc.contract.responses import RESPONSES
from alignc.graph.nodes import Logp, Node, Output
from alignc.printers.formula import text
from alignc.printers.mathml import mathml
from alignc.printers.tex import plain_text, printed

__all__ = ["Line", "as_data", "as_html", "as_latex", "as_text", "equation_text", "lines"]

Line = tuple[Claim, ...]
"""Claims that stand in one line: those about one derivative, or about the first step."""


def lines(claims: Sequence[Claim], section: Section) -> list[Line]:
    """List the lines of a section."""
    found: list[list[Claim]] = []
    for claim in claims:
        if claim.section is not section:
            continue
        if found and _topic(claim) is not None and _topic(found[-1][0]) == _topic(claim):
            found[-1].append(claim)
        else:
            found.append([claim])
    return [tuple(line) for line in found]


def _topic(claim: Claim) -> object:
    match claim:
        case Slope(leaf=leaf) | Push(leaf=leaf) | SlopeAtStart(leaf=leaf):
            return leaf
        case StepZero():
            return StepZero
    return None


def _joined(line: Line) -> Iterator[Piece]:
    """Join the claims of a line: an equation, what it does, and its value at the start."""
    for i, claim in enumerate(line):
        if i:
            yield (
                ", "
                if isinstance(claim, StepZero)
                else ": "
                if i == 1 and isinstance(line[0], Slope)
                else "; "
            )
        yield from pieces(claim)
    if isinstance(line[0], StepZero):
        yield ": checked in the run"


# ---- text -------------------------------------------------------------------------------------------------------


def as_text(line: Line) -> str:
    """Write a line as plain text."""
    return "".join(_text(piece) for piece in _joined(line))


def _text(piece: Piece) -> str:
    match piece:
        case Formula(node=node):
            return text(node)
        case Derivative():
            return equation_text(piece)
        case str():
            return piece


def equation_text(found: Derivative | Slope) -> str:
    """Write a derivative as an equation."""
    loss = "ℓ" if found.by_row else "L"
    return f"∂{loss}/∂{_by(found.leaf, found.response)} = {text(found.value)}"


def _by(leaf: Node, response: str) -> str:
    if isinstance(leaf, Output) and OUTPUTS[leaf.quantity].moves:
        return OUTPUTS[leaf.quantity].letter
    return f"{'log π' if isinstance(leaf, Logp) else 'r'}({response})"


# ---- LaTeX and pages --------------------------------------------------------------------------------------------


def as_latex(line: Line) -> str:
    """Write a line as LaTeX; an equation is set by itself."""
    shown = []
    for piece in _joined(line):
        match piece:
            case Formula(node=node):
                shown.append(rf"\({printed(node)}\)")
            case Derivative():
                shown.append(rf"\[ {_equation_latex(piece)} \]" + "\n")
            case str():
                shown.append(
                    plain_text(piece.removeprefix(": ") if shown and shown[-1].endswith("\n") else piece)
                )
    return "".join(shown)


def _equation_latex(found: Derivative) -> str:
    loss = r"\ell" if found.by_row else "L"
    leaf = found.leaf
    if isinstance(leaf, Output) and OUTPUTS[leaf.quantity].moves:
        by = OUTPUTS[leaf.quantity].letter
    else:
        score = r"\log \pi_\theta" if isinstance(leaf, Logp) else "r"
        by = f"{score}({RESPONSES[found.response].latex})"
    return rf"\frac{{\partial {loss}}}{{\partial {by}}} = {printed(found.value)}"


def as_html(line: Line) -> str:
    """Write a line for a page; each text is escaped."""
    shown, after = [], False
    for piece in _joined(line):
        match piece:
            case Formula(node=node):
                shown.append(mathml(printed(node)))
            case Derivative():
                shown.append(f'<span class="scroll left">{mathml(_equation_latex(piece), block=True)}</span>')
            case str():
                shown.append(escape(piece.removeprefix(": ") if after else piece))
        after = isinstance(piece, Derivative)
    return "".join(shown)


# ---- JSON -------------------------------------------------------------------------------------------------------


def as_data(claim: Claim) -> dict[str, Any]:
    """Write a claim as plain data: its kind, its section, its text, when it holds, and its fields."""
    fields = {f.name: getattr(claim, f.name) for f in dataclasses.fields(claim)}
    when = fields.pop("when", When.ALWAYS)
    return {
        "kind": type(claim).__name__,
        "section": str(claim.section),
        "text": as_text((claim,)).removesuffix(": checked in the run"),
        "when": str(when),
        "checked": not isinstance(claim, Prose),
        **{name: _plain(value) for name, value in fields.items()},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Node):
        return text(value)
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return value

"""Write an explanation as LaTeX: a fragment for a document that loads amsmath and amssymb."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from alignc.contract.outputs import OUTPUTS
from alignc.contract.responses import RESPONSES
from alignc.explain.build import other_outputs, trained_output
from alignc.explain.model import Explanation
from alignc.explain.show import gradient_words, sections, shown_value
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Logp, Node, Output
from alignc.lower.loss import Loss, alone
from alignc.printers.dialect import LATEX
from alignc.printers.formula import latex
from alignc.printers.terms import objective, term_losses

__all__ = ["Formulas", "formulas", "fragment", "mathematics", "plain_text"]


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
    slopes = (
        *(_slope(loss, y) for y in loss.view.responses),
        *(_other(loss, n) for n in other_outputs(loss)),
    )
    whole = f"L = {printed(objective(loss), loss.written_out)}"
    losses = tuple(f"{printed(n)} = {printed(n.argument, loss.written_out)}" for n in term_losses(loss))
    return Formulas(whole, losses, where, notes, slopes)


def _other(loss: Loss, node: Output) -> str:
    letter = OUTPUTS[node.quantity].letter
    return rf"\frac{{\partial L}}{{\partial {letter}}} = {printed(gradient(alone(loss.root), node))}"


def _slope(loss: Loss, response: str) -> str:
    trained = trained_output(loss, response)
    score = r"\log \pi_\theta" if isinstance(trained, Logp) else "r"
    of = RESPONSES[response].latex
    return rf"\frac{{\partial L}}{{\partial {score}({of})}} = {printed(gradient(alone(loss.root), trained))}"


def printed(node: Node, expand: frozenset[str] = frozenset()) -> str:
    """Print a node as LaTeX in ASCII."""
    return _ascii(latex(node, expand))


def mathematics(symbol: str) -> str:
    """Write a symbol as LaTeX, with letters and digits alone."""
    return _ascii(LATEX.symbol(re.sub(r"[^\w̄]", "", symbol) or "p"))


def _ascii(text: str) -> str:
    """Write mathematics in ASCII; a letter that LaTeX has no name for is named by its number."""
    return "".join(MATH.get(c, c if c.isascii() else rf"\mathrm{{U{ord(c):04X}}}") for c in text)


GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta",
    "θ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi",
    "ρ": "rho", "σ": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega",
    "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Φ": "Phi",
    "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
MATH = {
    **{c: f"\\{name} " for c, name in GREEK.items()},
    **{c: f"_{{{n}}}" for n, c in enumerate("₀₁₂₃₄₅₆₇₈₉")},
    "≤": r"\le ", "≥": r"\ge ", "−": "-", "·": r"\cdot ", "′": "'", "ℓ": r"\ell ", "∂": r"\partial ", "∇": r"\nabla ",
    "Σ": r"\sum ", "√": r"\sqrt{}", "½": r"\tfrac{1}{2}", "²": "^2", "³": "^3", "∞": r"\infty ", "→": r"\to ",
    "≻": r"\succ ", "≡": r"\equiv ", "≈": r"\approx ", "∝": r"\propto ", "‖": r"\| ", "×": r"\times ",
    "⇒": r"\Rightarrow ",
    "∈": r"\in ", "≠": r"\ne ", "ū": r"\bar{u}", "¼": r"\tfrac{1}{4}",
}  # fmt: skip
SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''", "`": r"\textasciigrave{}", "–": "--", "—": "---", "’": "'", "“": "``", "”": "''", "…": r"\dots{}",
}  # fmt: skip


def plain_text(text: str) -> str:
    """Write text so that LaTeX prints it; a character that no usual font has is named by its number."""
    return "".join(_character(c) for c in text).replace(r"\)\(", " ")


def _character(c: str) -> str:
    if c in SPECIAL:
        return SPECIAL[c]
    if c.isascii():
        return c if c.isprintable() else " "
    if c in MATH:
        return rf"\({'{}' if MATH[c][0] in '_^' else ''}{MATH[c].strip()}\)"
    return c if c.isalpha() and ord(c) < 0x180 else f"[U+{ord(c):04X}]"


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
    for label, lines in sections(e):
        yield from _gradient(e, shown) if label == "gradient" else _section(label, list(lines))


def _gradient(e: Explanation, shown: Formulas) -> Iterator[str]:
    yield r"\paragraph{gradient}"
    for coefficient, slope in zip(e.gradient, shown.gradient, strict=True):
        yield rf"\[ {slope} \]"
        yield plain_text(gradient_words(coefficient)) + "."
    if e.gauge:
        yield r"\par " + plain_text(e.gauge) + "."


def _values(e: Explanation) -> Iterator[str]:
    if not e.values:
        return
    yield r"\begin{center}\begin{tabular}{lllll}"
    for v in e.values:
        cells = (shown_value(v.value), v.unit, v.field, v.origin)
        yield " & ".join([rf"\({mathematics(v.symbol)}\)", *map(plain_text, cells)]) + r" \\"
    yield r"\end{tabular}\end{center}"


def _section(label: str, lines: list[str]) -> Iterator[str]:
    if not lines:
        return
    yield rf"\paragraph{{{label}}}"
    if len(lines) == 1:
        yield plain_text(lines[0])
        return
    yield r"\begin{itemize}"
    yield from (rf"\item {plain_text(line)}" for line in lines)
    yield r"\end{itemize}"

"""LaTeX: graphs and symbols in ASCII, and plain text that LaTeX prints."""

from __future__ import annotations

import re

from alignc.graph.nodes import Node
from alignc.printers.dialect import LATEX
from alignc.printers.formula import latex

__all__ = ["mathematics", "plain_text", "printed"]


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

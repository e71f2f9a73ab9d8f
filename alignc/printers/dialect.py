"""How the parts of a formula are spelt: in plain text, and in LaTeX."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from alignc.contract.models import MODELS
from alignc.contract.responses import RESPONSES
from alignc.graph.functions import FUNCTIONS

__all__ = ["LATEX", "TEXT", "Dialect", "number"]

EXPONENTS = {2: "²", 3: "³", 4: "⁴"}
GREEK = {
    "α": r"\alpha", "β": r"\beta", "γ": r"\gamma", "δ": r"\delta", "ε": r"\epsilon", "ζ": r"\zeta", "η": r"\eta",
    "θ": r"\theta", "ι": r"\iota", "κ": r"\kappa", "λ": r"\lambda", "μ": r"\mu", "ν": r"\nu", "ξ": r"\xi",
    "ο": "o", "π": r"\pi", "ρ": r"\rho", "ς": r"\varsigma", "σ": r"\sigma", "τ": r"\tau", "υ": r"\upsilon",
    "φ": r"\phi", "χ": r"\chi", "ψ": r"\psi", "ω": r"\omega", "ℓ": r"\ell", "Γ": r"\Gamma", "Δ": r"\Delta",
    "Θ": r"\Theta", "Λ": r"\Lambda", "Ξ": r"\Xi", "Π": r"\Pi", "Σ": r"\Sigma", "Υ": r"\Upsilon", "Φ": r"\Phi",
    "Ψ": r"\Psi", "Ω": r"\Omega", "Α": "A", "Β": "B", "Ε": "E", "Ζ": "Z", "Η": "H", "Ι": "I", "Κ": "K", "Μ": "M",
    "Ν": "N", "Ο": "O", "Ρ": "P", "Τ": "T", "Χ": "X",
}  # fmt: skip
MINUS = "−"
DIGITS, LOW_DIGITS = "0123456789", "₀₁₂₃₄₅₆₇₈₉"
SUBSCRIPTS = str.maketrans(DIGITS, LOW_DIGITS)
LOWERED = dict(zip(LOW_DIGITS, DIGITS, strict=True))


@dataclass(frozen=True)
class Dialect:
    """The spelling of everything that a formula is made of; precedence and brackets are the printer's."""

    name: str
    number: Callable[[float], str]
    symbol: Callable[[str], str]
    response: Mapping[str, str]
    place: Callable[[str, str], str]
    """A response with a place in it, such as `t` or `<t`."""
    model: Callable[[str], str]
    logp: str
    """Of a whole response; takes the model and the response."""
    token_logp: str
    function: Callable[[str, str], str]
    power: Callable[[str, int], str]
    fraction: Callable[[str, list[str]], str]
    times: str
    brackets: str
    length: str
    stop: str
    pairs: str
    token_column: str
    """Of a name and a response."""
    mean: str
    total: str
    over: Mapping[str, str]
    equals: str


def number(value: float) -> str:
    """Print a number the shortest way, with a true minus sign before it and a plain one in its exponent."""
    short = f"{value:.6g}" if value == float(f"{value:.6g}") else repr(value)
    short = short.replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    return MINUS + short[1:] if short.startswith("-") else short


def _fraction(above: str, below: list[str]) -> str:
    under = "·".join(below)
    return f"{above}/{under if len(below) == 1 else f'({under})'}"


def _subscript(symbol: str) -> str:
    """Lower a number at the end: β_2 is β₂."""
    base, _, below = symbol.rpartition("_")
    return base + below.translate(SUBSCRIPTS) if base and below.isdecimal() else symbol


TEXT = Dialect(
    name="text",
    number=number,
    symbol=_subscript,
    response={name: row.text for name, row in RESPONSES.items()},
    place=lambda response, place: f"{response},{place}",
    model=lambda m: MODELS[m].text if m in MODELS else f"π_{m}",
    logp="log {}({}|x)",
    token_logp="log {}({})",
    function=lambda f, x: FUNCTIONS[f].text.format(x),
    power=lambda base, n: base + EXPONENTS.get(n, f"^{n}"),
    fraction=_fraction,
    times="·",
    brackets="({})",
    length="|{}|",
    stop="sg({})",
    pairs="Σ_i>j[({0}_i − {0}_j)²]",
    token_column="{}({})",
    mean="E{}[{}]",
    total="Σ{}[{}]",
    over={"batch": "", "group": "_i", "token": "_t"},
    equals=" = ",
)


def _latex_number(value: float) -> str:
    base, _, exponent = number(value).replace(MINUS, "-").partition("e")
    return rf"{base} \cdot 10^{{{exponent}}}" if exponent else base


def _latex_symbol(symbol: str) -> str:
    if symbol[-1:] in LOWERED:
        symbol = f"{symbol[:-1]}_{LOWERED[symbol[-1]]}"
    base, _, below = symbol.partition("_")
    below = "".join(_latex_word(w) for w in re.findall(r"[A-Za-z]{3,}|.", below)).strip()
    bar = base.endswith("̄") or base == "ū"
    base = "u" if bar else GREEK.get(base, base if len(base) == 1 else rf"\mathrm{{{base}}}")
    base = rf"\bar{{{base}}}" if bar else base
    return f"{base}_{{{below}}}" if below else base


def _latex_word(part: str) -> str:
    """Write a word upright, and a letter that has a name by it."""
    return rf"\mathrm{{{part}}}" if len(part) > 1 else f"{GREEK[part]} " if part in GREEK else part


def _latex_model(model: str) -> str:
    return MODELS[model].latex if model in MODELS else rf"\pi_{{\mathrm{{{model}}}}}"


def _latex_place(response: str, place: str) -> str:
    base, _, below = response.partition("_")
    return f"{base}_{{{below},{place}}}" if below else f"{base}_{{{place}}}"


LATEX = Dialect(
    name="latex",
    number=_latex_number,
    symbol=_latex_symbol,
    response={name: row.latex for name, row in RESPONSES.items()},
    place=_latex_place,
    model=_latex_model,
    logp=r"\log {}({} \mid x)",
    token_logp=r"\log {}({})",
    function=lambda f, x: FUNCTIONS[f].latex.format(x),
    power=lambda base, n: f"{base}^{{{n}}}",
    fraction=lambda above, below: r"\frac{%s}{%s}" % (above, r" \, ".join(below)),  # noqa: UP031
    times=r" \, ",
    brackets=r"\left({}\right)",
    length=r"\left|{}\right|",
    stop=r"\operatorname{{sg}}\left({}\right)",
    pairs=r"\sum_{{i>j}} \left({0}_i - {0}_j\right)^2",
    token_column="{}({})",
    mean=r"\mathbb{{E}}{}\left[{}\right]",
    total=r"\sum{}\left[{}\right]",
    over={"batch": "", "group": "_i", "token": "_t"},
    equals=" = ",
)

"""Formulas as people read them, in text and LaTeX; every node in every printer."""

from __future__ import annotations

import ast
import inspect
import random
import re

import pytest
import torch
from latex2mathml.converter import convert

from alignc.graph import build as b
from alignc.graph import nodes
from alignc.graph.evaluate import evaluate
from alignc.graph.nodes import Column, Node, Reduce
from alignc.graph.types import Unit
from alignc.graph.walk import walk
from alignc.printers.formula import latex, text
from alignc.printers.torch import Printer

from ..variants import ALL, Variant, compiled, of_spec

X, Y = Column("margin", None, Unit()), Column("label", None, Unit())

GOLDEN = {
    "sft": "−Σ[l_y]/Σ[|y|]",
    "dpo": "−E[log σ(β·(u_w − u_l))]",
    "ipo": "E[(u_w − u_l − 1/(2·τ))²]",
    "hinge": "E[max(0, 1 − β·(u_w − u_l))]",
    "slic": "E[max(0, δ − (l_w − l_l))] − λ·E[l_w]",
    "gpo_exponential": "E[exp(−β·(u_w − u_l))]",
    "simpo": "−E[log σ(β·(a_w − a_l) − γ)]",
    "cpo": "−E[log σ(β·(l_w − l_l))] − λ·E[l_w/|y_w|]",
    "orpo": "−E[l_w/|y_w|] − λ·E[log σ(o_w − o_l)]",
    "r_dpo": "−E[log σ(β·(u_w − u_l) + α·(|y_w| − |y_l|))]",
    "nca": "−E[log σ(β·u_w)] − 0.5·E[log σ(−β·u_w)] − 0.5·E[log σ(−β·u_l)]",
    "apo_zero": "E[1 − σ(β·u_w)] + E[1 − σ(−β·u_l)]",
    "kto": "E[label·(1 − σ(β·(u_y − z₀))) + (1 − label)·(1 − σ(−β·(u_y − z₀)))]",
    "dro": "0.5·E[(τ·u_y + V − reward(y))²]",
    "sppo": "E[(u_y − η·(win_rate(y) − 0.5))²]",
    "copg": "E[Σ_i>j[(x_i − x_j)²]/(k − 1)]/(2·β)",
    "wpo": "−E[w·log σ(β·(u_w − u_l))]",
    "discopop": "E[σ(β·(u_w − u_l)/τ)·exp(−β·(u_w − u_l)) − σ(−β·(u_w − u_l)/τ)·log σ(β·(u_w − u_l))]",
}
KINDS = {v.preset: v.kind for v in reversed(ALL) if v.preset not in ("kto", "sppo")} | {
    "kto": "pointwise",
    "sppo": "pointwise",
}


@pytest.mark.parametrize("preset", GOLDEN)
def test_text(preset: str) -> None:
    loss = compiled(Variant(preset, KINDS[preset])).loss
    assert text(loss.root, loss.written_out) == GOLDEN[preset]


@pytest.mark.parametrize("variant", ALL, ids=lambda v: v.name)
def test_latex_is_mathematics(variant: Variant) -> None:
    """Every formula converts to MathML, with its brackets in pairs."""
    loss = compiled(variant).loss
    for node in [loss.root, *(n for t in loss.terms for n in t.named), *(m.value for m in loss.metrics)]:
        for expand in ((), loss.written_out):
            shown = latex(node, expand)
            assert convert(shown).startswith("<math")
            assert len(re.findall(r"\\left", shown)) == len(re.findall(r"\\right", shown))
            assert shown.count("{") == shown.count("}")
            assert shown.isascii(), "TeX takes nothing else"


@pytest.mark.parametrize("variant", ALL, ids=lambda v: v.name)
def test_brackets_of_text_are_in_pairs(variant: Variant) -> None:
    for metric in compiled(variant).loss.metrics:
        shown = text(metric.value)
        assert shown.count("(") == shown.count(")")
        assert shown.count("[") == shown.count("]")


def drawn(rng: random.Random, depth: int) -> Node:
    """Draw an expression over two columns, in which nothing overflows."""
    if depth == 0:
        return rng.choice([X, Y, b.constant(rng.choice([-2, -0.5, 0.25, 1, 3, 1e-4]))])
    a, c = drawn(rng, depth - 1), drawn(rng, depth - 1)
    match rng.randrange(9):
        case 8:
            return b.divide(a, b.multiply(b.add(b.constant(2), b.apply("sigmoid", c)), b.apply("sigmoid", X)))
        case 0:
            return b.add(a, c)
        case 1:
            return b.subtract(a, c)
        case 2:
            return b.multiply(a, c)
        case 3:
            return b.negate(a)
        case 4:
            return b.power(b.apply("sigmoid", a), rng.choice([2, 3, -1, -2]))
        case 5:
            return b.divide(a, b.add(b.constant(2), b.apply("abs", b.apply("sigmoid", c))))
        case 6:
            return b.apply(rng.choice(["sigmoid", "log_sigmoid", "softplus", "relu", "tanh", "abs"]), a)
    return b.subtract(b.constant(1), a)


def read_text(shown: str) -> str:
    """Read plain text back as Python: what a person takes it to mean."""
    shown = (
        shown.replace("−", "-").replace("·", "*").replace("log σ(", "logsigmoid(").replace("σ(", "sigmoid(")
    )
    for mark, power in (("²", "**2"), ("³", "**3"), ("⁴", "**4")):
        shown = shown.replace(mark, power)
    while "|" in shown:
        shown = re.sub(r"\|([^|]*)\|", r"abs(\1)", shown)
    return shown.replace("max(0, ", "relu(")


def braced(shown: str, at: int) -> tuple[str, int]:
    """Return what stands in the braces that begin at a place, and the place behind them."""
    depth = 0
    for end in range(at, len(shown)):
        depth += {"{": 1, "}": -1}.get(shown[end], 0)
        if depth == 0:
            return shown[at + 1 : end], end + 1
    raise AssertionError(shown)


def read_latex(shown: str) -> str:
    """Read LaTeX back as Python: a line binds what is above and below it, brackets bind, and a space multiplies."""
    while r"\frac{" in shown:
        begin = shown.rindex(r"\frac{")
        above, middle = braced(shown, begin + 5)
        below, end = braced(shown, middle)
        shown = f"{shown[:begin]}(({above})/({below})){shown[end:]}"
    shown = re.sub(r" \\cdot 10\^\{(-?\d+)\}", r"e\1", shown)
    shown = re.sub(r"\^\{(\d+)\}", r"**\1", shown)
    shown = re.sub(r"\\(?:mathrm|operatorname)\{(\w+)\}", r"\1", shown)
    for mark, word in (
        (r"\log \sigma\left(", "logsigmoid("),
        (r"\max\left(0, ", "relu("),
        (r"\sigma\left(", "sigmoid("),
        (r"\tanh\left(", "tanh("),
        (r"\left|", "abs("),
        (r"\right|", ")"),
        (r"\left(", "("),
        (r"\right)", ")"),
        (r"\,", "*"),
    ):
        shown = shown.replace(mark, word)
    return shown


@pytest.mark.parametrize("seed", range(300))
def test_printed_and_read_again_is_the_same(seed: int) -> None:
    """Text and LaTeX read as Python, and torch source run, give the evaluator's value."""
    rng = random.Random(seed)
    node = drawn(rng, 4)
    given = {X: [0.37], Y: [-1.21]}
    value = evaluate(node, given)
    expected = value[0] if isinstance(value, list) else value
    names = {
        "batch": {
            "column/margin": torch.tensor([0.37], dtype=torch.float64),
            "column/label": torch.tensor([-1.21], dtype=torch.float64),
        },
        "torch": torch,
        "F": torch.nn.functional,
        "number": lambda v: torch.as_tensor(v, dtype=torch.float64),
    }
    source = Printer({}).show(node)[0]
    assert float(eval(source, names)) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    shown = text(node)
    f = torch.nn.functional
    reading = {
        "margin": torch.tensor(0.37, dtype=torch.float64),
        "label": torch.tensor(-1.21, dtype=torch.float64),
        "sigmoid": lambda v: torch.sigmoid(torch.as_tensor(v, dtype=torch.float64)),
        "logsigmoid": lambda v: f.logsigmoid(torch.as_tensor(v, dtype=torch.float64)),
        "softplus": lambda v: -f.logsigmoid(-torch.as_tensor(v, dtype=torch.float64)),
        "tanh": lambda v: torch.tanh(torch.as_tensor(v, dtype=torch.float64)),
        "relu": lambda v: torch.relu(torch.as_tensor(v, dtype=torch.float64)),
        "abs": abs,
    }
    read = [read_latex(latex(node))] + ([read_text(shown)] if shown.count("|") <= 2 else [])
    for source in read:
        ast.parse(source)
        assert float(eval(source, reading)) == pytest.approx(expected, rel=1e-5, abs=1e-6), source


def classes() -> set[type[Node]]:
    found = {c for _, c in inspect.getmembers(nodes, inspect.isclass) if issubclass(c, Node)}
    return found - {Node}


EVERYTHING = [
    *(
        Variant(p, KINDS[p])
        for p in ("sft", "ipo", "kto", "bco", "aot", "wpo", "ld_dpo", "copg", "dro", "sppo")
    ),
    Variant("exo"),
]


def test_every_node_is_printed_and_evaluated() -> None:
    """The presets reach every class of node; each of them prints in text, LaTeX and torch, and has a value."""
    reached: set[type[Node]] = set()
    for variant in EVERYTHING:
        made = compiled(variant)
        assert made.folder().files["loss.py"]
        for node in walk(*made.loss.outputs):
            reached.add(type(node))
            assert text(node)
            assert latex(node)
    assert reached == classes()


def test_a_node_of_no_known_class_is_refused() -> None:
    class Other(Node):
        def _infer(self) -> object:
            return X.type

    for printer in (text, latex, lambda n: Printer({}).show(n)):
        with pytest.raises(TypeError):
            printer(Other())
    with pytest.raises(KeyError):
        evaluate(Other(), {})


@pytest.mark.parametrize(
    ("node", "shown"),
    [
        (b.subtract(X, b.subtract(Y, X)), "2·margin − label"),
        (b.divide(X, b.multiply(b.constant(2), Y)), "margin/(2·label)"),
        (b.power(b.add(X, Y), 2), "(margin + label)²"),
        (b.negate(b.power(X, 2)), "−margin²"),
        (b.power(b.negate(X), 3), "−margin³"),
        (b.multiply(b.constant(0.5), X), "0.5·margin"),
        (b.divide(b.add(X, Y), b.add(X, b.constant(1))), "(margin + label)/(1 + margin)"),
        (b.apply("exp", b.negate(b.add(X, Y))), "exp(−margin − label)"),
        (Reduce("mean", "batch", b.negate(X)), "−E[margin]"),
        (b.constant(1e-5), "1e-5"),
        (b.constant(-3), "−3"),
        (b.apply("at_most", X, Y), "1[margin ≤ label]"),
    ],
)
def test_small_formulas(node: Node, shown: str) -> None:
    assert text(node) == shown


def test_two_parameters_of_one_symbol_are_told_apart() -> None:
    made = of_spec(
        {
            "terms": [
                {"name": "one", "kind": "preference", "score": {"of": "log_ratio", "beta": 0.1}},
                {"name": "two", "kind": "preference", "score": {"of": "log_ratio", "beta": 0.3}},
            ]
        }
    )
    shown = text(made.loss.root, made.loss.written_out)
    assert shown == "−E[log σ(β·(u_w − u_l))] − E[log σ(β₂·(u_w − u_l))]"
    assert convert(latex(made.loss.root, made.loss.written_out))

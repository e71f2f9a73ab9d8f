"""Decide with sympy the meaning of a formula κ(u) as a KL estimator; an undecided question comes with numbers."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Literal, assert_never

import sympy as sp

from alignc.formula.parsing import FormulaError, parse
from alignc.graph.functions import FUNCTIONS
from alignc.theory.budget import HIGHEST, affordable
from alignc.theory.kinds import KL, REVERSE, Kind, Meaning, Placement, scaled

__all__ = ["decide", "expression"]

U = sp.Symbol("u", real=True)
P = sp.Symbol("p", positive=True)
W = sp.Symbol("w", positive=True)
GRID = tuple(x / 8 for x in range(-96, 97))
TOLERANCE = 1e-9


def decide(estimator: str, placement: Placement) -> Meaning:
    """Decide which divergence a formula descends. Raises FormulaError for a text that is no formula over u."""
    kappa = expression(estimator)
    slope = _derivative(kappa)
    g = {"reward": kappa, "loss": slope, "ratio": kappa + slope}[placement]
    halves = _half(g, P), _half(g, -P)
    named = _recognised(*halves)
    shown = str(_simple(g))
    if named:
        kind, divergence, closed, factor = named
        return scaled(Meaning(kind, divergence, shown, closed), factor)
    kind, witness = _behaviour(g, halves)
    f = _integral(g)
    return Meaning(kind, f"Σ ref·f(π/ref) with f = {f}" if f else "Σ ref·f(π/ref), f′(w) = g(log w)", shown, f,
                   witness=witness)  # fmt: skip


def expression(text: str) -> Any:
    """Translate a formula over u to sympy. Raises FormulaError."""
    return _translated(parse(text, frozenset(FUNCTIONS)))


def _translated(tree: ast.expr) -> Any:
    match tree:
        case ast.Constant(value=int() | float() as number):
            return sp.nsimplify(number, rational=True)
        case ast.Name(id="u"):
            return U
        case ast.Name(id=other):
            raise FormulaError(f"unknown name `{other}`; an estimator is a formula over u")
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_translated(operand)
        case ast.UnaryOp(operand=operand):
            return _translated(operand)
        case ast.BinOp(left=left, op=op, right=right):
            return OPERATORS[type(op)](_translated(left), _translated(right))
        case ast.Call(func=ast.Name(id=name), args=args):
            return CALLS[name](*map(_translated, args))
    raise FormulaError("not a formula over u")


OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: lambda a, b: a**b,
}
CALLS: dict[str, Callable[..., Any]] = {
    "log_sigmoid": lambda x: -sp.log(1 + sp.exp(-x)),
    "softplus": lambda x: sp.log(1 + sp.exp(x)),
    "sigmoid": lambda x: 1 / (1 + sp.exp(-x)),
    "exp": sp.exp,
    "expm1": lambda x: sp.exp(x) - 1,
    "log": sp.log,
    "log1mexp": lambda x: sp.log(1 - sp.exp(x)),
    "log_odds": lambda x: x - sp.log(1 - sp.exp(x)),
    "relu": lambda x: sp.Max(0, x),
    "step": lambda x: (1 + sp.sign(x)) / 2,
    "abs": sp.Abs,
    "sign": sp.sign,
    "min": sp.Min,
    "max": sp.Max,
    "at_most": lambda x, y: (1 + sp.sign(y - x)) / 2,
    "clip": lambda x, y, z: sp.Min(sp.Max(x, y), z),
    "tanh": sp.tanh,
    "sqrt": sp.sqrt,
}


def _derivative(kappa: Any) -> Any:
    """Differentiate where the derivative exists; kinks and jumps have no derivative and no weight."""
    slope = sp.diff(kappa, U).replace(_of_sign, lambda _: sp.Integer(0))
    return slope.replace(sp.DiracDelta, lambda *_: sp.Integer(0)).replace(
        sp.Heaviside, lambda x, *_: (1 + sp.sign(x)) / 2
    )


def _of_sign(slope: Any) -> bool:
    """Tell the slope of a sign whose argument has a pole, which sympy leaves as it is."""
    return isinstance(slope, sp.Derivative) and isinstance(slope.expr, sp.sign)


def _half(g: Any, value: Any) -> Any:
    """Substitute u on one side of 0, where |u| and sign(u) are smooth; p > 0."""
    return _simple(g.subs(U, value))


def _simple(expression: Any) -> Any:
    """Simplify an expression within the budget; a longer one stays as it is."""
    return sp.simplify(expression) if affordable(expression) else expression


Near = Literal["restores", "kink", "flat", "unknown"]
Named = tuple[Kind, str, str, float]


def _recognised(above: Any, below: Any) -> Named | None:
    """Recognise a constant, a·u + c, a·(1 − e^−u) + c, a·sign(u) + c."""
    high, low = sp.diff(above, P), sp.diff(below, P)
    if high == 0 and low == 0:
        jump = float(above - below)
        if jump == 0:
            return Kind.NULL, "nothing", "w", 1.0
        return (Kind.VARIATION, "Σ|π − ref|", "|w − 1|", jump / 2) if jump > 0 else None
    slope = _simple(high)
    if slope.is_number and float(slope) > 0 and _zero(low + slope) and _continuous(above, below):
        return Kind.KL, KL, "w·log(w)", float(slope)
    factor = _simple(high * sp.exp(P))
    mirrored = _zero(sp.diff(below, P) + factor * sp.exp(P)) and _continuous(above, below)
    if factor.is_number and float(factor) > 0 and mirrored:
        return Kind.REVERSE, REVERSE, "−log(w)", float(factor)
    return None


def _zero(difference: Any) -> bool:
    return bool(_simple(difference) == 0) if affordable(difference) else False


def _continuous(above: Any, below: Any) -> bool:
    jump = above - below
    return affordable(jump) and _zero(sp.limit(jump, P, 0, "+"))


def _behaviour(g: Any, halves: tuple[Any, Any]) -> tuple[Kind, str]:
    """Decide whether g never falls, and how it behaves at the reference and far below it."""
    value = sp.lambdify(U, g, "math")
    fall = _fall(value)
    if not fall:
        if all(_never_negative(s) for s in (sp.diff(halves[0], P), -sp.diff(halves[1], P))):
            return Kind.CONVEX, "g′ ≥ 0 for every u"
        return Kind.UNDECIDED, f"g does not fall at {len(GRID)} points of [{GRID[0]:g}, {GRID[-1]:g}]"
    match near := _near(value):
        case "restores":
            return Kind.NONCONVEX, fall
        case "unknown":
            return Kind.UNDECIDED, f"{fall}; g has no value near 0"
        case "kink":
            return Kind.KINK, fall
        case "flat":
            return (Kind.COLLAPSE if _unbounded(value) else Kind.SADDLE), fall
        case _:
            assert_never(near)


def _at(value: Callable[[float], float], u: float) -> float | None:
    try:
        found = value(u)
    except (ArithmeticError, ValueError, TypeError):
        return None
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else None


def _fall(value: Callable[[float], float]) -> str:
    """Find two points between which g falls."""
    points = [(u, y) for u in GRID if (y := _at(value, u)) is not None]
    for (a, low), (b, high) in pairwise(points):
        if high < low - TOLERANCE * (1 + abs(low)):
            return f"g falls from {low:.4g} at u = {a:g} to {high:.4g} at u = {b:g}"
    return ""


def _near(value: Callable[[float], float]) -> Near:
    """Describe g near 0: `restores` (it rises at first order), `kink`, `flat` (or falling), or `unknown`."""
    # With s the slope on the left, t the slope on the right, and j the jump of g at 0 beyond what the slopes explain:
    #   k2, g = u:        s = t = 1, j = 0              rises on both sides: `restores`
    #   |u|, g = sign u:  s = t = 0, j = 2              jumps up: `restores` as well, at any distance
    #   relu(u), g = 1 for u > 0: s = t = 0, j = 1      the same on one side
    #   |u|·u − u, g = 2|u| − 1:  s = −2, t = 2, j = 0  falls on one side and rises on the other: `kink`
    #   u**3, g = 3·u²:   s and t are about 0           `flat`: nothing pulls at first order
    h = 1e-4
    found = [_at(value, u) for u in (-2 * h, -h, h, 2 * h)]
    if any(x is None for x in found):
        return "unknown"
    a, b, c, d = (float(x) for x in found if x is not None)
    left, right, jump = (b - a) / h, (d - c) / h, (c - b) - (b - a + d - c)
    smooth = 10 * h + abs(b - a + d - c) / 4  # what a steep curve bends between the points
    if jump > smooth or (jump > -smooth and left > 10 * h and right > 10 * h):
        return "restores"
    if jump > -smooth and ((left < -10 * h and right > 10 * h) or (left > 10 * h and right < -10 * h)):
        return "kink"
    return "flat"


def _unbounded(value: Callable[[float], float]) -> bool:
    """Return whether f falls without bound as w → 0, which means that w·g(log w) does not vanish."""
    found = [_at(value, u) for u in (-20.0, -40.0)]
    return all(g is not None and g * math.exp(u) > 1e-6 for g, u in zip(found, (-20.0, -40.0), strict=True))


def _never_negative(slope: Any) -> bool:
    """Prove that an expression of p > 0 is never negative; return False if no proof is found."""
    if not affordable(slope):
        return False
    simple = _simple(slope)
    if simple.is_nonnegative:
        return True
    return any(_nonnegative_polynomial(candidate) for candidate in _polynomials(simple))


def _polynomials(expression: Any) -> Iterator[Any]:
    """Write an expression as a polynomial of one positive variable, where it is one in p, e^p or e^−p.

    e^p = 1 + q with q > 0.
    """
    yield expression
    for image in (1 + P, 1 / (1 + P)):
        if not affordable(expression):
            return
        powers = expression.replace(
            lambda e: isinstance(e, sp.exp) and (e.args[0] / P).is_number,
            lambda e, image=image: image ** (e.args[0] / P),
        )
        if powers != expression and not powers.has(sp.exp):
            above, below = sp.fraction(sp.together(powers))
            if _positive(below):
                yield above


def _positive(expression: Any) -> bool:
    return affordable(expression) and bool(sp.expand(expression).is_positive)


def _nonnegative_polynomial(expression: Any) -> bool:
    if not affordable(expression):
        return False
    try:
        polynomial = sp.Poly(sp.expand(expression), P)
        if polynomial.degree() > HIGHEST:
            return False
        if any(r > 0 and m % 2 for r, m in sp.roots(polynomial, P, filter="R").items()):
            return False
        odd = [r for r in polynomial.real_roots() if r > 0]
    except (sp.PolynomialError, NotImplementedError):
        return False
    points = [
        sp.Rational(1, 2),
        *(r + 1 for r in odd),
        *((a + b) / 2 for a, b in pairwise(odd)),
    ]
    points += [odd[0] / 2] if odd else []
    return all(float(polynomial.eval(p)) >= 0 for p in points)


def _integral(g: Any) -> str | None:
    """Integrate f′(w) = g(log w) if it is a sum of w^a·log(w)^n; else return None."""
    if not affordable(g):
        return None
    parts = sp.Add.make_args(sp.expand(g.subs(U, sp.log(W))))
    found = [_power_log(part) for part in parts]
    return None if any(part is None for part in found) else str(sp.expand(sp.Add(*found)))


def _power_log(part: Any) -> Any:
    """Integrate c·w^a·log(w)^n by parts, n whole and not negative; None for anything else."""
    c, rest = part.as_independent(W)
    a = n = sp.Integer(0)
    for factor in sp.Mul.make_args(rest):
        base, exponent = factor.as_base_exp()
        if base == W and exponent.is_number:
            a += exponent
        elif base == sp.log(W) and exponent.is_integer and exponent.is_nonnegative:
            n += exponent
        elif factor != 1:
            return None
    if a == -1:
        return c * sp.log(W) ** (n + 1) / (n + 1)
    total, sign = sp.Integer(0), sp.Integer(1)
    for k in range(int(n) + 1):
        total += sign * sp.ff(n, k) * sp.log(W) ** (n - k) / (a + 1) ** (k + 1)
        sign = -sign
    return c * W ** (a + 1) * total

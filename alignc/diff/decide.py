"""Decide by algebra: are two losses equal, equal up to a factor and a constant, or equal in gradient?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import sympy

from alignc.diff.atoms import Bonds, atom_name
from alignc.diff.model import Verdict
from alignc.diff.normal import Normal
from alignc.diff.polynomial import TooLargeError, expanded, terms_of
from alignc.diff.sides import Side, by_row
from alignc.graph.gradient import gradient
from alignc.graph.nodes import Constant, Logp, Matched, Node, Output, Reduce, Running
from alignc.graph.rewrite import inputs, rebuilt
from alignc.graph.walk import children, walk

__all__ = ["Proof", "decide", "decide_gradient", "is_coupled", "rows", "trained_leaves"]

LONGEST = 400


@dataclass(frozen=True)
class Proof:
    """What algebra certifies: A is factor · B + constant, in the sense of the verdict."""

    verdict: Verdict
    factor: float | None
    constant: str | None
    trace: tuple[str, ...]
    formula: str | None = None
    """The factor for a group of k responses, where it depends on k."""


def decide(a: Side, b: Side, bonds: Bonds) -> Proof | None:
    """Compare normal forms of the losses, then of their gradients; None where neither proves anything."""
    try:
        return _losses(a, b, bonds) or decide_gradient(a, b, bonds)
    except (TooLargeError, ZeroDivisionError, RecursionError):
        return None


def _losses(a: Side, b: Side, bonds: Bonds) -> Proof | None:
    form = Normal(bonds)
    roots = (a.root, b.root)
    if all(_mean_of_rows(r) for r in roots):
        roots = (rows(a.root), rows(b.root))
    left, right = (form.of(r) for r in roots)
    found = related(form, left, right)
    if found is None:
        return None
    factor, constant = found
    trace = (
        *_shown(form, left, right),
        *(f"rule: {r}" for r in sorted(form.used)),
        _conclusion(factor, constant),
    )
    if factor == 1 and constant == 0:
        return Proof("equal", 1.0, None, trace)
    shown = None if constant == 0 else plain(constant)
    return Proof("equal_up_to_factor", float(factor), shown, trace)


def decide_gradient(a: Side, b: Side, bonds: Bonds) -> Proof | None:
    """Compare normal forms of every row's gradient."""
    form = Normal(bonds, transparent=True)
    factor, trace = None, []
    for leaf in trained_leaves((a, b), bonds):
        left, right = (form.of(gradient(by_row(s.root, 1), leaf)) for s in (a, b))
        found = _ratio(form, left, right)
        if found is None or (factor is not None and found[0] not in (factor, None)):
            return None
        factor = found[0] if factor is None else factor
        trace += [f"∂A/∂{atom_name(leaf)} = {plain(left)}", f"∂B/∂{atom_name(leaf)} = {plain(right)}"]
    if factor is None:
        return None
    rules = (f"rule: {r}" for r in sorted(form.used))
    return Proof("equal_gradient", float(factor), None, (*trace, *rules, f"every row: ∇A = {factor}·∇B"))


def _ratio(form: Normal, left: Any, right: Any) -> tuple[Any] | None:
    """Find the number by which one coefficient is the other; (None,) where both are zero."""
    if left == 0 and right == 0:
        return (None,)
    for term in terms_of(right)[:1]:
        number, rest = term.as_coeff_Mul()
        candidates = [c / number for c, other in (t.as_coeff_Mul() for t in terms_of(left)) if other == rest]
        for factor in candidates[:1]:
            if factor.is_positive and is_zero(form, expanded(left - factor * right)):
                return (factor,)
    return None


def related(form: Normal, left: Any, right: Any) -> tuple[Any, Any] | None:
    """Find the positive factor and the policy-free constant that lead from one normal form to the other."""
    if is_zero(form, expanded(left - right)):
        return sympy.Integer(1), sympy.Integer(0)
    mine = dict(t.as_coeff_Mul()[::-1] for t in terms_of(left) if not form.free(t))
    for term in (t for t in terms_of(right) if not form.free(t)):
        number, rest = term.as_coeff_Mul()
        if rest not in mine:
            continue
        factor = mine[rest] / number
        if not factor.is_positive:
            return None
        constant = expanded(left - factor * right)
        return (factor, constant) if form.free(constant) else None
    return None


def is_zero(form: Normal, expression: Any) -> bool:
    """Tell whether a sum of few terms is zero as a rational function of its atoms."""
    if expression == 0:
        return True
    if len(terms_of(expression)) > 60:
        return False
    written = expression.subs({atom: 1 / core for atom, core in form.inverses.items()})
    return bool(expanded(sympy.together(written).as_numer_denom()[0]) == 0)


def trained_leaves(sides: tuple[Side, Side], bonds: Bonds) -> list[Node]:
    """List what the gradient is taken with respect to, in both losses; what a condition holds fast is left out."""
    found = [n for n in inputs(*(s.root for s in sides)) if isinstance(n, Logp | Output) and n.type.trained]
    return [n for n in dict.fromkeys(found) if not (isinstance(n, Output) and atom_name(n) in bonds)]


def _mean_of_rows(root: Node) -> bool:
    """Tell whether a loss is a mean over rows, so that it is decided row by row."""
    if isinstance(root, Reduce) and root.over == "batch":
        return root.kind == "mean"
    return not root.type.trained or _has_outer(root)


def _has_outer(node: Node) -> bool:
    return all(_mean_of_rows(c) for c in children(node)) and not isinstance(node, Logp)


def rows(node: Node) -> Node:
    """Drop the mean over rows."""
    if isinstance(node, Reduce) and node.over == "batch":
        return node.argument
    if not node.type.trained or isinstance(node, Constant):
        return node
    return rebuilt(node, {c: rows(c) for c in children(node)})


def is_coupled(root: Node) -> bool:
    """Tell whether the rows of a batch depend on each other: through ranks, or a mean over all tokens."""
    return not _mean_of_rows(root) or any(
        isinstance(n, Matched | Running) or (isinstance(n, Reduce) and n.over == "batch")
        for n in walk(rows(root))
    )


def _shown(form: Normal, left: Any, right: Any) -> tuple[str, str]:
    return f"A = {plain(left)}", f"B = {plain(right)}"


def _conclusion(factor: Any, constant: Any) -> str:
    if factor == 1 and constant == 0:
        return "the normal forms are the same"
    rest = "" if constant == 0 else f" + ({plain(constant)}), which no policy moves"
    return f"A = {plain(factor)}·B{rest}"


def plain(expression: Any) -> str:
    """Write an expression as a reader would."""
    text = re.sub(r"1/\[([^][]*)\]", r"1/(\1)", str(expression))
    text = text.replace("**", "^").replace("*", "·").replace("-", "−")
    return text if len(text) <= LONGEST else text[:LONGEST] + f" … ({len(terms_of(expression))} terms)"

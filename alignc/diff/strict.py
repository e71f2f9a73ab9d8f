"""Compare what two preference losses state: does one entail the other?

After Richardson, Srikumar and Sabharwal (2024, arXiv:2412.17696). A loss f(log(T/B)), with f falling, states a formula
for T and one for B. The probability of a response, of a policy or reference, is the weight of a proposition. A entails
B if T of A entails T of B and if B of B entails B of A. Then the ratio of A is never above that of B.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from alignc.contract.responses import PAIR
from alignc.diff.decide import rows
from alignc.diff.model import Relation, Strictness
from alignc.diff.normal import Normal
from alignc.diff.polynomial import TooLargeError, expanded, terms_of
from alignc.diff.sides import Side
from alignc.graph.nodes import Apply, Column, Node
from alignc.graph.rewrite import substitute
from alignc.graph.types import GraphTypeError
from alignc.graph.walk import walk

__all__ = ["Statement", "entails", "statement", "strictness"]

RISING = ("softplus", "relu", "exp")
LINK = "link of the preference"
Literal = tuple[str, bool]
Powers = dict[tuple[str, bool], Any]


@dataclass(frozen=True)
class Statement:
    """A loss f(y) with y = strength · log(bottom/top): both as powers of the weights of propositions."""

    link: str
    strength: Any
    scale: Any
    top: Powers
    bottom: Powers
    whole: bool
    """Whether the loss has no other term."""


def strictness(a: Side, b: Side) -> Strictness | None:
    """Compare the statements of two preference losses; None for losses that read no pairs."""
    if a.responses != PAIR or b.responses != PAIR:
        return None
    found = [_tried(s) for s in (a, b)]
    if found[0] is None or found[1] is None:
        names = " and ".join(n for n, s in zip("AB", found, strict=True) if s is None)
        return Strictness("undecided", f"undecided: {names} is no falling link of one log-ratio", None, None)
    if found[0].link != found[1].link:
        return Strictness("undecided", "undecided: the links differ", None, None)
    return _related(found[0], found[1])


def _tried(side: Side) -> Statement | None:
    try:
        return statement(side)
    except (TooLargeError, GraphTypeError, ZeroDivisionError, RecursionError):
        return None


def statement(side: Side) -> Statement | None:
    """Read a loss as a falling link of one log-ratio of products of probabilities; None where it is no such loss."""
    root = rows(side.root)
    links = list(_outermost(root))
    if len(links) != 1:
        return None
    node, form = links[0], Normal({})
    stand_in = Column(LINK, None, node.type.unit)
    marked = form.of(substitute(root, {node: stand_in}))
    symbol = next((s for s in marked.free_symbols if str(s) == LINK), None)
    if symbol is None:
        return None
    scale, rest = marked.coeff(symbol), expanded(marked - marked.coeff(symbol) * symbol)
    falling = node.function == "log_sigmoid"
    if not scale.is_number or (scale <= 0) != falling or not _chosen_alone(rest, form):
        return None
    y = expanded(form.of(node.arguments[0]) * (-1 if falling else 1))
    name = "softplus" if falling else node.function
    return _of_ratio(name, y, abs(scale), form.free(rest))


def _outermost(root: Node) -> Iterator[Apply]:
    found = [n for n in walk(root) if isinstance(n, Apply) and n.function in (*RISING, "log_sigmoid")]
    found = [n for n in found if n.type.trained and not n.type.axis.by_token]
    inside = {m for n in found for x in n.arguments for m in walk(x)}
    return (n for n in found if n not in inside)


def _chosen_alone(rest: Any, form: Normal) -> bool:
    """Tell whether the other terms only raise the chosen response, as a likelihood does."""
    trained = {str(s) for t in terms_of(rest) for s in t.free_symbols if form.atoms[s].policy}
    return trained <= {"l_w"} and all(form.free(t) or t.as_coeff_Mul()[0].is_negative for t in terms_of(rest))


def _of_ratio(link: str, y: Any, scale: Any, whole: bool) -> Statement | None:
    top: Powers = {}
    bottom: Powers = {}
    strengths = []
    for term in terms_of(y):
        number, rest = term.as_coeff_Mul()
        found = _proposition(rest)
        if found is None:
            return None
        name, positive, up = found
        held = number if up else -number
        (bottom if held > 0 else top)[name, positive] = abs(number)
        if name.startswith("π"):
            strengths.append(abs(number))
    if not strengths:
        return None
    strength = strengths[0]
    return Statement(
        link,
        strength,
        scale,
        {k: v / strength for k, v in top.items()},
        {k: v / strength for k, v in bottom.items()},
        whole,
    )


def _proposition(rest: Any) -> tuple[str, bool, bool] | None:
    """Name the proposition whose weight has this logarithm, or minus this logarithm (the last part is False)."""
    text = str(rest)
    if rest == 1:
        return "margin", True, False
    if text in ("n_w", "n_l"):
        return f"short({text[-1]})", True, False
    negated = text.startswith("log1mexp[") and text.endswith("]")
    inner = text.removeprefix("log1mexp[").removesuffix("]") if negated else text
    letter, _, suffix = inner.partition("_")
    mean = suffix in ("w/n_w", "l/n_l")
    if suffix not in ("w", "l") and not mean:
        return None
    model = {"l": "π", "r": "ref", "o": "rollout", "q": "previous"}.get(letter)
    if model is None:
        return None
    return f"{model}{'̄' if mean else ''}({suffix[0]})", not negated, True


def _related(a: Statement, b: Statement) -> Strictness | None:
    parts = [_literals(p, (a, b)) for p in (a.top, a.bottom, b.top, b.bottom)]
    if any(p is None for p in parts):
        return Strictness(
            "undecided", "undecided: a probability is negated and raised to a power", None, None
        )
    top_a, bottom_a, top_b, bottom_b = (p or [] for p in parts)
    stricter, points = _both(top_a, top_b, bottom_b, bottom_a)
    implied, others = _both(top_b, top_a, bottom_a, bottom_b)
    relation: Relation = (
        "equivalent"
        if stricter and implied
        else "stricter"
        if stricter
        else "implied"
        if implied
        else "neither"
    )
    shown = [f"{_and(t)}, against {_and(x)}" for t, x in ((top_a, bottom_a), (top_b, bottom_b))]
    given = (*points, *others) if relation == "neither" else ()
    return Strictness(relation, _words(relation, a, b), shown[0], shown[1], given)


def _literals(powers: Powers, both: tuple[Statement, Statement]) -> list[Literal] | None:
    """Write powers as conjunctions: a higher power of a weight is a further proposition beside the lower one."""
    found: list[Literal] = []
    for (name, positive), power in sorted(powers.items(), key=str):
        known = {p for s in both for side in (s.top, s.bottom) for (n, _), p in side.items() if n == name}
        signs = {q for s in both for side in (s.top, s.bottom) for (n, q) in side if n == name}
        if len(known) > 1 and len(signs) > 1:
            return None
        steps = sorted(known)
        place = steps.index(power)
        found += [(name if i == 0 else f"{name}+{i}", positive) for i in range(place + 1)]
    return found


def entails(first: Sequence[Literal], second: Sequence[Literal]) -> dict[str, bool] | None:
    """Return truth values under which the first conjunction holds and the second does not; None if it entails it."""
    names = sorted({n for n, _ in (*first, *second)})
    for values in itertools.product((False, True), repeat=len(names)):
        at = dict(zip(names, values, strict=True))
        if all(at[n] == sign for n, sign in first) and not all(at[n] == sign for n, sign in second):
            return at
    return None


def _both(
    top: list[Literal], of: list[Literal], bottom: list[Literal], under: list[Literal]
) -> tuple[bool, list[str]]:
    refuted = [p for p in (entails(top, of), entails(bottom, under)) if p is not None]
    words = ", ".join(f"{n} is {str(v).lower()}" for n, v in (refuted[0] if refuted else {}).items())
    return not refuted, [f"no entailment where {words}"] if refuted else []


def _and(literals: Sequence[Literal]) -> str:
    return " ∧ ".join(n if sign else f"¬{n}" for n, sign in literals) or "true"


def _words(relation: Relation, a: Statement, b: Statement) -> str:
    """Say what follows from the relation."""
    part = "" if a.whole and b.whole else " The likelihood terms are left out."
    same = (a.strength, a.scale) == (b.strength, b.scale)
    greater = (
        "the preference loss of {} is at least that of {} for every policy"
        if same
        else "a policy that meets {} (T above B) meets {} as well"
    )
    match relation:
        case "stricter":
            return f"A is stricter than B: {greater.format('A', 'B')}.{part}"
        case "implied":
            return f"A is implied by B: {greater.format('B', 'A')}.{part}"
        case "equivalent":
            return f"A and B state the same.{part}"
        case _:
            return f"neither A nor B is stricter.{part}"

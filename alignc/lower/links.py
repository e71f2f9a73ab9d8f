"""Lower the link: from a distance to a loss, by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from alignc.graph import build as b
from alignc.graph.nodes import Node
from alignc.graph.types import GraphTypeError, Unit
from alignc.lower.formulas import Line, own_formula
from alignc.lower.scope import Scope
from alignc.spec import axes

__all__ = ["LINKS", "LinkRow", "endless", "linked"]


@dataclass(frozen=True)
class LinkRow:
    """A link by its `kind`, with the properties that follow from its form."""

    name: str
    endless: bool = False
    """The loss falls as long as the distance grows: if one response always wins, there is no finite optimum."""
    debiased: bool = False
    """It takes the flips of `label_smoothing` out again, so that they do not end the growth."""
    regression: bool = False
    """Its optimum is the distance 0: the score is regressed on what it is compared with."""


LINKS: Mapping[str, LinkRow] = {
    row.name: row
    for row in (
        LinkRow("logistic", endless=True),
        LinkRow("robust", endless=True, debiased=True),
        LinkRow("squared", regression=True),
        LinkRow("hinge"),
        LinkRow("exponential", endless=True),
        LinkRow("utility"),
        LinkRow("exo"),
        LinkRow("discopop"),
        LinkRow("formula"),
    )
}


def endless(link: axes.Link) -> bool:
    """Return whether the margin grows without bound if one response of a pair always wins."""
    row = LINKS[link.kind]
    return row.endless and (row.debiased or not getattr(link, "label_smoothing", 0.0))


def linked(link: axes.Link, z: Node, scope: Scope) -> Node:
    """Apply a link to a distance; `scope` is the scope of the link."""
    match link:
        case axes.LogisticLink(label_smoothing=smoothing):
            return _logistic(z, smoothing, scope)
        case axes.RobustLink(label_smoothing=smoothing):
            return _robust(z, smoothing, scope)
        case axes.SquaredLink():
            return b.power(z, 2)
        case axes.HingeLink(delta=delta):
            return b.apply("relu", b.subtract(scope.number("delta", delta, "δ", z.type.unit), z))
        case axes.ExponentialLink():
            return b.apply("exp", b.negate(z))
        case axes.UtilityLink():
            return b.subtract(b.ONE, b.apply("sigmoid", z))
        case axes.ExoLink(epsilon=epsilon):
            return _exo(z, scope.number("epsilon", epsilon, "ε", Unit()))
        case axes.DiscoPopLink(tau=tau):
            return _discopop(z, scope.number("tau", tau, "τ", Unit()))
        case axes.FormulaLink(formula=text):
            return _formula(text, z, scope)
        case _:
            assert_never(link)


def _logistic(z: Node, smoothing: float, scope: Scope) -> Node:
    right = b.negate(b.apply("log_sigmoid", z))
    if smoothing == 0:
        return right
    epsilon = scope.number("label_smoothing", smoothing, "ε", Unit())
    wrong = b.negate(b.apply("log_sigmoid", b.negate(z)))
    return b.add(b.multiply(b.subtract(b.ONE, epsilon), right), b.multiply(epsilon, wrong))


def _robust(z: Node, smoothing: float, scope: Scope) -> Node:
    """Write it as −log σ(z) − ε/(1−2ε)·z, which stays finite where σ(−z) underflows."""
    right = b.negate(b.apply("log_sigmoid", z))
    if smoothing == 0:
        return right
    if smoothing == 0.5:
        raise GraphTypeError("the robust link divides by 1 − 2ε, which is 0 at ε = ½", "E404")
    epsilon = scope.number("label_smoothing", smoothing, "ε", Unit())
    slope = b.divide(epsilon, b.subtract(b.ONE, b.multiply(b.constant(2), epsilon)))
    return b.subtract(right, b.multiply(slope, z))


def _exo(z: Node, epsilon: Node) -> Node:
    up = b.subtract(b.apply("log_sigmoid", z), b.apply("log", b.subtract(b.ONE, epsilon)))
    down = b.subtract(b.apply("log_sigmoid", b.negate(z)), b.apply("log", epsilon))
    return b.add(b.multiply(b.apply("sigmoid", z), up), b.multiply(b.apply("sigmoid", b.negate(z)), down))


def _discopop(z: Node, tau: Node) -> Node:
    """Write m·exp(−z) as exp(log m − z), which stays finite where m underflows and exp(−z) overflows."""
    scaled = b.divide(z, tau)
    logistic = b.multiply(b.apply("sigmoid", b.negate(scaled)), b.negate(b.apply("log_sigmoid", z)))
    return b.add(logistic, b.apply("exp", b.subtract(b.apply("log_sigmoid", scaled), z)))


def _formula(text: str, z: Node, scope: Scope) -> Node:
    """Build a link from the user's formula over z and the parameters of the preset."""
    known = {n: b.bare(scope.preset_parameter(n)) for n in scope.bound}
    return own_formula(text, {**known, "z": b.bare(z)}, "a link is a formula over z", Line("z"))

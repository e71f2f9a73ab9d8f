"""The surrogates of a policy gradient: what carries the gradient, a row each, and how each is lowered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from alignc.contract.models import POLICY
from alignc.contract.responses import COMPLETIONS
from alignc.graph import build as b
from alignc.graph.nodes import Logp, Node
from alignc.graph.types import Unit
from alignc.lower.scope import Scope
from alignc.spec import policy as axes

__all__ = ["SURROGATES", "SurrogateRow", "clipped_ratio", "surrogate_of"]

Y = COMPLETIONS


@dataclass(frozen=True)
class SurrogateRow:
    """A surrogate by its `kind`, and what follows from its form."""

    name: str
    reads_ratio: bool = True
    """The ratio ρ of policy to sampler stands in it; without ρ it needs samples of the policy itself."""
    through_ratio: bool = True
    """The gradient passes through ρ; otherwise it passes through log π."""
    bounded: bool = True
    """A ρ far from 1 counts less than it is."""
    clips: bool = False
    """The bound is a clip, which has no effect while ρ is 1."""


SURROGATES: Mapping[str, SurrogateRow] = {
    row.name: row
    for row in (
        SurrogateRow("reinforce", reads_ratio=False, through_ratio=False, bounded=False),
        SurrogateRow("importance", bounded=False),
        SurrogateRow("clipped", clips=True),
        SurrogateRow("soft"),
        SurrogateRow("cispo", through_ratio=False, clips=True),
    )
}


def surrogate_of(surrogate: axes.Surrogate, rho: Node | None, advantage: Node, scope: Scope) -> Node:
    """Lower what carries the gradient, by token or by response; `rho` is None for a surrogate that reads none."""
    if isinstance(surrogate, axes.Reinforce):
        return b.multiply(advantage, b.bare(Logp(POLICY, Y)))
    assert rho is not None, surrogate.kind
    match surrogate:
        case axes.Importance():
            return b.multiply(rho, advantage)
        case axes.Clipped():
            return _clipped(surrogate, rho, advantage, scope)
        case axes.Soft(temperature=temperature):
            tau = scope.number("temperature", temperature, "τ", Unit())
            gate = b.apply("sigmoid", b.multiply(tau, b.subtract(rho, b.ONE)))
            return b.multiply(b.divide(b.constant(4), tau), gate, advantage)
        case axes.Cispo():
            weight = b.stop(_clip(surrogate, rho, scope))
            return b.multiply(weight, advantage, b.bare(Logp(POLICY, Y)))
        case _:
            assert_never(surrogate)


def clipped_ratio(surrogate: axes.Surrogate, rho: Node | None, scope: Scope) -> Node | None:
    """Give the ratio as a clip leaves it, where the clip takes the gradient away; None where no clip does."""
    return _clip(surrogate, rho, scope) if isinstance(surrogate, axes.Clipped) and rho is not None else None


def _clip(surrogate: axes.Clipped | axes.Cispo, rho: Node, scope: Scope) -> Node:
    low = scope.number("low", surrogate.low, "ε_l" if surrogate.low != surrogate.high else "ε", Unit())
    high = low
    if surrogate.low != surrogate.high:
        high = scope.number("high", surrogate.high, "ε_h", Unit())
    return b.apply("clip", rho, b.subtract(b.ONE, low), b.add(b.ONE, high))


def _clipped(surrogate: axes.Clipped, rho: Node, advantage: Node, scope: Scope) -> Node:
    smaller = b.apply("min", b.multiply(rho, advantage), b.multiply(_clip(surrogate, rho, scope), advantage))
    if surrogate.dual is None:
        return smaller
    c = scope.number("dual", surrogate.dual, "c", Unit())
    negative = b.apply("step", b.negate(advantage))
    bounded = b.apply("max", smaller, b.multiply(c, advantage))
    return b.add(b.multiply(negative, bounded), b.multiply(b.subtract(b.ONE, negative), smaller))

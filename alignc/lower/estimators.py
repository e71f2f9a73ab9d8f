"""Lower a KL estimator: κ(u) of the log-ratio of a response or of each token, weighted by an importance ratio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alignc.contract.models import INITIAL, POLICY, ROLLOUT
from alignc.contract.outputs import OUTPUTS, Quantity
from alignc.contract.responses import COMPLETIONS
from alignc.graph import build as b
from alignc.graph.nodes import NAT, Column, Logp, Node, Output
from alignc.graph.types import GraphTypeError, Unit
from alignc.lower.formulas import Line, own_formula
from alignc.lower.scope import Scope
from alignc.lower.scores import SUFFIX, log_ratio
from alignc.spec.axes import Score
from alignc.spec.kl import ESTIMATORS, FULL
from alignc.spec.objective import KLTerm
from alignc.spec.scores import LOG_RATIO

__all__ = ["KAPPA", "Estimate", "divergence", "estimate", "kappa", "weighted"]

KAPPA: Mapping[str, str] = {row.name: row.kappa for row in ESTIMATORS.values() if row.kappa is not None}
"""κ(u) of the named estimators with a formula."""


@dataclass(frozen=True)
class Estimate:
    """The loss of an estimator, its value without weights, and its named values."""

    loss: Node
    value: Node
    named: tuple[Node, ...]


def kappa(estimator: str, u: Node) -> Node:
    """Apply an estimator to a log-ratio without a unit.

    Raises GraphTypeError: E004 for `full`, which no log-ratio of a token tells; E003 for what is no formula over u.
    """
    if estimator == FULL.name:
        message = "`estimator: full` reads the whole vocabulary, which a log-ratio does not tell"
        raise GraphTypeError(f"{message}; k2 has the same expected gradient token by token", "E004")
    text = KAPPA.get(estimator, estimator)
    return own_formula(text, {"u": u}, "an estimator is a formula over u", Line("u"))


def divergence(model: str, response: str, granularity: str, anchor: str, scope: Scope) -> Node:
    """Lower `full`: the divergence of the next token at each token, or its sum over a response, in nat.

    That of the `rollout` is a column, which stands still while the policy learns from it.

    Raises GraphTypeError E004 where a job does not have both models at hand for the whole vocabulary.
    """
    if response != COMPLETIONS:
        message = "`estimator: full` needs the reference beside the policy at every step, and given data"
        raise GraphTypeError(
            f"{message} has it read once, a number a token; k2 has the same expected gradient", "E004"
        )
    if anchor != INITIAL:
        message = f"`estimator: full` takes the initial policy as its reference, not `{anchor}`"
        raise GraphTypeError(f"{message}: of the others one number a token is kept", "E004")
    words = "KL(π‖ref) of the next token, over the whole vocabulary"
    if model == "rollout":
        old = Column(OUTPUTS[Quantity.DIVERGENCE].stored, response, NAT, token=True)
        found = scope.names.value("divergence_old", "D_old,i,t", f"{words}, of the policy that sampled", old)
    else:
        found = scope.names.value("divergence", "D_i,t", words, Output(Quantity.DIVERGENCE, model, response))
    return b.sum_over("token", found) if granularity == "sequence" else found


def weighted(value: Node, rho: Node | None, correction: str) -> Node:
    """Weight an estimate by the importance ratio, with its gradient (`ratio`) or without (`importance`)."""
    if rho is None:
        return value
    return b.multiply(rho if correction == "ratio" else b.stop(rho), value)


def estimate(term: KLTerm, response: str, scope: Scope) -> Estimate:
    """Lower the estimate of one response, in nat.

    An estimator of the gradient stands with its own weight: under a differentiated ratio, the gradient is that of its
    weighted estimate.
    """
    if term.estimator == FULL.name:
        return _full(term, response, scope)
    u = _named_ratio(term, response, scope)
    rho = _importance(term, response, scope) if term.correction != "none" else None
    inside = b.bare(u) if term.clamp is None else _clamped(b.bare(u), term.clamp, scope)
    value = kappa(term.estimator, inside)
    loss = weighted(value, rho, term.correction)
    if term.gradient is not None:
        slope = kappa(term.gradient, inside)
        rest = b.subtract(value, slope) if rho is None else b.multiply(rho, b.subtract(value, slope))
        loss = b.add(weighted(slope, rho, term.correction), b.stop(rest))
    named = (u,) if rho is None else (u, rho)
    return Estimate(_summed(loss, term), _summed(value, term), named)


def _full(term: KLTerm, response: str, scope: Scope) -> Estimate:
    if term.gradient is not None or term.clamp is not None:
        part = "gradient" if term.gradient is not None else "clamp"
        raise GraphTypeError(f"`estimator: full` has no log-ratio for `{part}`", "E004")
    anchor = scope.model(term.anchor or INITIAL)
    found = divergence(POLICY, response, term.granularity, anchor, scope)
    rho = _importance(term, response, scope) if term.correction != "none" else None
    loss = weighted(found, rho, term.correction)
    return Estimate(_summed(loss, term), _summed(found, term), (found,) if rho is None else (found, rho))


def _summed(node: Node, term: KLTerm) -> Node:
    return b.in_unit(b.sum_over("token", node) if node.type.axis.by_token else node, NAT)


def _named_ratio(term: KLTerm, response: str, scope: Scope) -> Node:
    anchor = scope.model(term.anchor or INITIAL)
    if term.granularity == "sequence":
        return log_ratio(Score(of=LOG_RATIO, anchor=term.anchor or INITIAL), response, scope)
    tokens = b.subtract(Logp(POLICY, response), Logp(anchor, response))
    suffix = SUFFIX[response]
    return scope.names.value(f"ut_{suffix}", f"u_{suffix},t", "log-ratio of a token", tokens)


def _importance(term: KLTerm, response: str, scope: Scope) -> Node:
    moved: Node = b.subtract(Logp(POLICY, response), Logp(ROLLOUT, response))
    whole = term.granularity == "sequence"
    rho = b.apply("exp", b.bare(b.sum_over("token", moved) if whole else moved))
    suffix = SUFFIX[response] if whole else f"{SUFFIX[response]},t"
    what = "the response" if whole else "the token"
    return scope.names.value(
        f"rho_{SUFFIX[response]}", f"ρ_{suffix}", f"probability ratio of {what} to the rollout policy", rho
    )


def _clamped(u: Node, limit: float, scope: Scope) -> Node:
    c = b.bare(scope.number("clamp", limit, "c", Unit()))
    above = b.subtract(b.apply("relu", b.add(u, c)), c)
    return b.apply("min", above, c)

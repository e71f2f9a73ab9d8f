"""Lower a policy gradient: reward, advantage, ratio, surrogate, and the reduction over tokens.

What a rollout has to compute token after token, or over all rows (returns, GAE, whitening), is a column that it
provides; every other advantage is made here, of nodes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from alignc.contract.models import INITIAL, POLICY, ROLLOUT
from alignc.contract.needs import AdaptiveKL, Advantage, baseline_from
from alignc.contract.outputs import OUTPUTS, Quantity
from alignc.contract.responses import COMPLETIONS
from alignc.graph import build as b
from alignc.graph.nodes import (
    NAT,
    REWARD,
    Column,
    GroupSize,
    Length,
    Logp,
    Named,
    NamedRole,
    Node,
    Output,
    Reduce,
)
from alignc.graph.rewrite import token_count
from alignc.graph.types import GraphTypeError, Unit
from alignc.lower.estimators import divergence, kappa
from alignc.lower.loss import Metric, TermLoss
from alignc.lower.policy_metrics import policy_metrics, value_metrics
from alignc.lower.scope import Scope
from alignc.lower.surrogates import SURROGATES, clipped_ratio, surrogate_of
from alignc.spec import policy as axes
from alignc.spec.aggregations import AGGREGATIONS, Divides
from alignc.spec.kl import FULL, KLPlacement
from alignc.spec.objective import Entropy, PolicyGradient, Value
from alignc.spec.views import View

__all__ = ["Lowered", "entropy", "policy_gradient", "sequential", "value"]

Lowered = tuple[TermLoss, list[Metric]]
Y = COMPLETIONS
PROBABILITY = Unit.of("probability")


def held(term: PolicyGradient, placement: str) -> KLPlacement | None:
    """Return the KL block if it has this placement and a strength above 0, else None."""
    kl = term.kl
    return (
        kl
        if kl is not None and kl.beta > 0 and (kl.placement == "reward") == (placement == "reward")
        else None
    )


def sequential(term: PolicyGradient) -> bool:
    """Return whether a rollout must compute the advantage, token by token or over all of its rows."""
    kl = held(term, "reward")
    by_token = term.discount < 1 or (
        kl is not None and (kl.granularity == "token" or kl.adaptive is not None)
    )
    return by_token or term.whiten or isinstance(term.baseline, axes.RolloutBaseline)


def policy_gradient(term: PolicyGradient, scope: Scope, seen: View) -> Lowered:
    """Lower −A·surrogate and the KL in the loss. Raises GraphTypeError E101 for rows of pairs."""
    if not seen.group:
        raise GraphTypeError("a policy gradient takes groups of responses, not pairs", "E101")
    _check_adaptive(term.kl)
    penalty = _penalty(term, scope)
    advantage = _given(term, scope) if sequential(term) else _advantage(term, penalty, scope)
    ratio = _ratio(term, scope) if SURROGATES[term.surrogate.kind].reads_ratio else None
    surrogate = surrogate_of(term.surrogate, ratio, advantage, scope.inside("surrogate"))
    held_by = _kl_loss(term, ratio, scope)
    parts = [b.negate(b.bare(surrogate)), *([] if held_by is None else [b.bare(held_by)])]
    rows, value = _together(parts, AGGREGATIONS[term.aggregation].divides, scope)
    rows = scope.names.row_loss(rows)
    value = value if value is not None else b.mean_over("batch", rows)
    weight = scope.weight(term.weight, value.type.unit)
    named = tuple(n for n in (advantage, ratio) if isinstance(n, Named))
    lowered = TermLoss(term.name, term.kind, weight, value, rows, named, (Y,))
    if sequential(term):
        lowered = replace(lowered, advantage=_descriptor(term, penalty), penalty=penalty)
    clipped = clipped_ratio(term.surrogate, ratio, scope.inside("surrogate"))
    return lowered, policy_metrics(
        advantage, ratio, clipped, _kl_value(term, scope), value if scope.many else None
    )


def _check_adaptive(kl: KLPlacement | None) -> None:
    """Refuse an adaptive KL controller for a KL in the loss or for a moving reference."""
    if kl is None or kl.adaptive is None:
        return
    if kl.placement != "reward":
        raise GraphTypeError(
            "an adaptive KL controller needs the KL in the reward; in the loss, `beta` is fixed", "E003"
        )
    if kl.anchor != INITIAL:
        raise GraphTypeError(
            "an adaptive KL controller needs the KL to the initial reference, which is fixed", "E003"
        )


# ---- reward and advantage -------------------------------------------------------------------------------------


def _worth(term: PolicyGradient) -> Column:
    """Return the column of the reward of a response, which may be a win rate."""
    return Column(term.reward, Y, REWARD)


def _penalty(term: PolicyGradient, scope: Scope) -> Node | None:
    """Lower the penalty β·κ(u) under the rollout policy, for each token or for the response."""
    kl = held(term, "reward")
    if kl is None:
        return None
    inner = scope.inside("kl")
    if kl.estimator == FULL.name:
        found = divergence(ROLLOUT, Y, kl.granularity, kl.anchor, scope)
        return b.multiply(inner.number("beta", kl.beta, "β", REWARD / NAT), found)
    tokens: Node = b.subtract(Logp(ROLLOUT, Y), Logp(kl.anchor, Y))
    if kl.granularity == "sequence":
        u = scope.names.value(
            "u_old",
            "u_i",
            "log-ratio of the rollout policy, sum over tokens",
            b.sum_over("token", tokens),
        )
    else:
        u = scope.names.value("u_old", "u_i,t", "log-ratio of a token under the rollout policy", tokens)
    beta = inner.number("beta", kl.beta, "β", REWARD / NAT)
    return b.multiply(beta, b.in_unit(kappa(kl.estimator, b.bare(u)), NAT))


def _given(term: PolicyGradient, scope: Scope) -> Node:
    unit = Unit() if term.whiten or _normalised(term) else REWARD
    column = Column("advantage", Y, unit, token=True)
    words = "advantage of a token, computed by the rollout"
    return scope.names.value("advantage", "A_i,t", words, column, NamedRole.ADVANTAGE)


def _normalised(term: PolicyGradient) -> bool:
    return isinstance(term.baseline, axes.GroupMean) and term.baseline.std


def _advantage(term: PolicyGradient, penalty: Node | None, scope: Scope) -> Node:
    """Lower the advantage of a response: its reward minus a baseline of the group."""
    worth, what = (
        _worth(term),
        "reward of the response" if term.reward == "reward" else "win rate of the response",
    )
    less, what = (
        (worth, what) if penalty is None else (b.subtract(worth, penalty), f"{what} minus the penalty")
    )
    reward = scope.names.value("reward_i", "R_i", what, less)
    found = _above_baseline(term.baseline, reward, scope.inside("baseline"))
    return scope.names.value("advantage", "A_i", "advantage of the response", found, NamedRole.ADVANTAGE)


def _above_baseline(baseline: axes.Baseline, reward: Node, scope: Scope) -> Node:
    total = b.sum_over("group", reward)
    match baseline:
        case axes.NoBaseline():
            return reward
        case axes.ConstantBaseline(value=value):
            return b.subtract(reward, scope.number("value", value, "b", REWARD))
        case axes.LeaveOneOut() | axes.Other():
            others = b.divide(b.subtract(total, reward), b.subtract(GroupSize(), b.ONE))
            return b.subtract(reward, others)
        case axes.GroupMean():
            above = b.subtract(reward, b.divide(total, GroupSize()))
            return b.divide(b.bare(above), _spread(baseline, reward, scope)) if baseline.std else above
        case axes.RolloutBaseline():
            raise TypeError(f"the rollout computes the baseline {baseline.kind}")
        case _:
            assert_never(baseline)


def _spread(baseline: axes.GroupMean, reward: Node, scope: Scope) -> Node:
    """Lower the standard deviation of the group; Σ_{i>j}(R_i − R_j)² is k times the sum of squares about the mean."""
    free = b.subtract(GroupSize(), b.constant(baseline.ddof))
    variance = b.divide(Reduce("pairs", "group", reward), b.multiply(GroupSize(), free))
    std = scope.names.value("std", "s", "standard deviation of the group", b.apply("sqrt", b.bare(variance)))
    return b.add(std, scope.number("epsilon", baseline.epsilon, "ε", Unit()))


def _descriptor(term: PolicyGradient, penalty: Node | None) -> Advantage:
    """Describe the advantage that a rollout computes, as `job.json` has it."""
    kl = held(term, "reward")
    return Advantage(
        reward=term.reward,
        penalty=penalty is not None,
        granularity=kl.granularity if kl else "token",
        baseline=baseline_from(term.baseline.model_dump()),
        discount=term.discount,
        gae_lambda=term.gae_lambda,
        whiten=term.whiten,
        adaptive=AdaptiveKL(**kl.adaptive.model_dump(), beta=kl.beta) if kl and kl.adaptive else None,
    )


# ---- ratio ----------------------------------------------------------------------------------------------------


def _ratio(term: PolicyGradient, scope: Scope) -> Node:
    moved: Node = b.subtract(Logp(POLICY, Y), Logp(ROLLOUT, Y))
    symbol, what = "ρ_i,t", "the token"
    if term.ratio != "token":
        moved, symbol, what = b.sum_over("token", moved), "ρ_i", "the response"
    if term.ratio == "sequence_mean":
        moved, what = b.divide(moved, Length(Y)), "an average token"
    words = f"probability ratio of {what} to the rollout policy"
    return scope.names.value("rho", symbol, words, b.apply("exp", b.bare(moved)))


# ---- KL in the loss -------------------------------------------------------------------------------------------


def _kl_loss(term: PolicyGradient, ratio: Node | None, scope: Scope) -> Node | None:
    """Lower β·κ(u) of the policy, optionally weighted by its differentiable ratio."""
    kl = held(term, "loss")
    if kl is None:
        return None
    estimate = _estimate(kl, scope)
    if kl.placement == "ratio":
        moved: Node = b.subtract(Logp(POLICY, Y), Logp(ROLLOUT, Y))
        rho = b.apply("exp", b.bare(b.sum_over("token", moved) if kl.granularity == "sequence" else moved))
        whole = kl.granularity == "sequence"
        symbol = "ρ_i" if whole else "ρ_i,t"
        words = f"probability ratio of {'the response' if whole else 'the token'} to the rollout policy"
        estimate = b.multiply(scope.names.value("rho", symbol, words, rho), estimate)
    return b.multiply(scope.inside("kl").number("beta", kl.beta, "β", Unit()), estimate)


def _estimate(kl: KLPlacement, scope: Scope) -> Node:
    if kl.estimator == FULL.name:
        return b.bare(divergence(POLICY, Y, kl.granularity, kl.anchor, scope))
    tokens: Node = b.subtract(Logp(POLICY, Y), Logp(kl.anchor, Y))
    if kl.granularity == "sequence":
        u = scope.names.value("u", "u_i", "log-ratio, sum over tokens, nat", b.sum_over("token", tokens))
    else:
        u = scope.names.value("u", "u_i,t", "log-ratio of a token", tokens)
    return kappa(kl.estimator, b.bare(u))


def _kl_value(term: PolicyGradient, scope: Scope) -> Node | None:
    """Return the estimate by response if the KL is in the loss, else None."""
    kl = held(term, "loss")
    if kl is None:
        return None
    estimate = _estimate(kl, scope)
    return b.sum_over("token", estimate) if estimate.type.axis.by_token else estimate


# ---- from tokens to one number --------------------------------------------------------------------------------


def _together(parts: list[Node], by: Divides, scope: Scope) -> tuple[Node, Node | None]:
    """Reduce surrogate and KL together, or separately if one is by token and the other by response."""
    if len({p.type.axis for p in parts}) == 1:
        return aggregated(b.add(*parts), by, scope)
    return b.add(*(aggregated(p, by, scope)[0] for p in parts)), None


def aggregated(loss: Node, by: Divides, scope: Scope) -> tuple[Node, Node | None]:
    """Reduce a loss by token or by response to rows, and to one number where rows are not averaged.

    Raises GraphTypeError for a mean over the batch's tokens of what is one number a response.
    """
    if by is Divides.BATCH_TOKENS:
        return _over_batch(loss)
    by_token = loss.type.axis.by_token
    loss = b.sum_over("token", loss) if by_token else loss
    match by:
        case Divides.NOTHING:
            pass
        case Divides.OWN_TOKENS:
            loss = b.divide(loss, token_count(Y)) if by_token else loss
        case Divides.LONGEST:
            loss = b.divide(loss, _longest(scope))
        case _:
            assert_never(by)
    return b.divide(b.sum_over("group", loss), GroupSize()), None


def _over_batch(loss: Node) -> tuple[Node, Node]:
    """Sum a loss by token to rows, and divide their sum by the tokens of the global batch."""
    if not loss.type.axis.by_token:
        message = (
            "a loss with one number per response has no mean over tokens; set `aggregation: sequence_mean`"
        )
        raise GraphTypeError(message)
    rows = b.sum_over("group", b.sum_over("token", loss))
    return rows, b.divide(b.sum_over("batch", rows), b.sum_over("batch", tokens_of(Y)))


def _longest(scope: Scope) -> Node:
    """Give the tokens that a response may have."""
    longest = getattr(scope.lookup.job.data, "max_new_tokens", None)
    if longest is None:
        raise GraphTypeError("`aggregation: fixed_length` divides by `data.max_new_tokens`, which is missing")
    return scope.names.value("longest", "T_max", "`data.max_new_tokens`", b.constant(longest))


def tokens_of(response: str) -> Node:
    """Count the tokens of a row's responses."""
    return b.sum_over("group", token_count(response))


# ---- critic and entropy ---------------------------------------------------------------------------------------


def value(term: Value, scope: Scope) -> Lowered:
    """Lower ½·(V − G)², or the larger of it and that of the clipped value (PPO)."""
    v: Node = scope.names.value(
        "v", "V_i,t", "value of the state before a token", Output(Quantity.TOKEN_VALUE, POLICY, Y)
    )
    target = scope.names.value(
        "target", "G_i,t", "return from this token on", Column("return", Y, REWARD, token=True)
    )
    squared: Node = b.power(b.subtract(v, target), 2)
    if term.clip_range is not None:
        old = Column(OUTPUTS[Quantity.TOKEN_VALUE].stored, Y, REWARD, token=True)
        limit = scope.number("clip_range", term.clip_range, "ε_v", REWARD)
        near = b.add(old, b.apply("clip", b.subtract(v, old), b.negate(limit), limit))
        clipped = scope.names.value(
            "v_clipped", "V_clip", "value, clipped near the value of the rollout", near
        )
        other = b.power(b.subtract(clipped, target), 2)
        squared = b.apply("max", squared, other)
    loss = b.multiply(b.constant(0.5), b.bare(squared))
    rows, mean = aggregated(loss, Divides.BATCH_TOKENS, scope)
    rows = scope.names.row_loss(rows)
    assert mean is not None
    lowered = TermLoss(term.name, term.kind, scope.weight(term.weight, Unit()), mean, rows, (v,), (Y,))
    return lowered, value_metrics(v, target, mean)


def entropy(term: Entropy, scope: Scope) -> Lowered:
    """Lower −H, averaged over the tokens of the global batch."""
    h = scope.names.value(
        "entropy", "H_i,t", "entropy of the next token", Output(Quantity.ENTROPY, POLICY, Y)
    )
    rows, mean = aggregated(b.negate(b.bare(h)), Divides.BATCH_TOKENS, scope)
    assert mean is not None
    rows = scope.names.row_loss(rows)
    lowered = TermLoss(term.name, term.kind, scope.weight(term.weight, Unit()), mean, rows, (h,), (Y,))
    return lowered, [Metric("policy/entropy_avg", b.negate(mean))]

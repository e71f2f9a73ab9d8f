"""Lower the terms: score, margin and link put together, by row and over the global batch."""

from __future__ import annotations

from typing import assert_never

from alignc.contract.kinds import LABELLED
from alignc.contract.models import POLICY
from alignc.contract.outputs import Quantity
from alignc.contract.responses import CHOSEN, COMPLETION, COMPLETIONS, GROUP, MISMATCHED, PAIR, REJECTED
from alignc.graph import build as b
from alignc.graph.nodes import (
    Column,
    GroupSize,
    Length,
    Logp,
    Matched,
    NamedRole,
    Node,
    Output,
    Reduce,
    Running,
)
from alignc.graph.rewrite import inputs
from alignc.graph.types import GraphTypeError, Unit
from alignc.lower.estimators import estimate
from alignc.lower.links import linked
from alignc.lower.loss import Metric, TermLoss
from alignc.lower.metrics import (
    group_metrics,
    kl_metrics,
    likelihood_metrics,
    pointwise_metrics,
    preference_metrics,
)
from alignc.lower.policy import entropy, policy_gradient, value
from alignc.lower.scope import Scope
from alignc.lower.scores import SUFFIX, anchor_of, likelihood_weight, log_ratio, raw_score
from alignc.spec import axes, targets
from alignc.spec.objective import (
    Entropy,
    KLTerm,
    Likelihood,
    Pointwise,
    PolicyGradient,
    Preference,
    Term,
    Value,
)
from alignc.spec.scores import LOG_RATIO
from alignc.spec.views import View

__all__ = ["Lowered", "lower_term"]

Lowered = tuple[TermLoss, list[Metric]]
REWARD, PROBABILITY, TOKEN = Unit.of("reward"), Unit.of("probability"), Unit.of("token")


def lower_term(term: Term, scope: Scope, seen: View) -> Lowered:
    """Lower one term. Raises GraphTypeError where its parts do not go together."""
    match term:
        case Preference() if seen.group:
            return _group_preference(term, scope)
        case Preference():
            return _preference(term, scope)
        case Pointwise():
            return _pointwise(term, scope, seen)
        case Likelihood():
            return _likelihood(term, scope)
        case KLTerm():
            return _kl(term, scope, seen)
        case PolicyGradient():
            return policy_gradient(term, scope, seen)
        case Value():
            return value(term, scope)
        case Entropy():
            return entropy(term, scope)
        case _:
            assert_never(term)


def _finished(
    term: Term, scope: Scope, rows: Node, named: tuple[Node, ...], over: tuple[str, ...]
) -> TermLoss:
    value = b.mean_over("batch", rows)
    return TermLoss(term.name, term.kind, scope.weight(term.weight, rows.type.unit), value, rows, named, over)


# ---- preference -----------------------------------------------------------------------------------------------


def _preference(term: Preference, scope: Scope) -> Lowered:
    raw: dict[str, Node] = {y: raw_score(term.score, y, scope) for y in PAIR}
    beta = _beta(term.score, term.link, raw[CHOSEN].type.unit, scope)
    difference = b.subtract(raw[CHOSEN], raw[REJECTED]) if term.order == "row" else _sorted(term, scope)
    contrast = b.multiply(beta, difference)
    margin = _margin(term, contrast.type.unit, beta, scope.inside("margin"))
    z = scope.names.value("z", "z", "margin", b.subtract(contrast, margin), NamedRole.DISTANCE)
    loss = linked(term.link, z, scope.inside("link"))
    named: tuple[Node, ...] = (*raw.values(), z)
    if term.sample_weight == "likelihood":
        weight = likelihood_weight(term, scope)
        loss, named = b.multiply(weight, loss), (*named, weight)
    if term.center:
        total = b.multiply(beta, b.add(*raw.values()))
        factor = scope.number("center", term.center, "c", loss.type.unit / total.type.unit**2)
        loss = b.add(loss, b.multiply(factor, b.power(total, 2)))
    rows = scope.names.row_loss(loss)
    lowered = _finished(term, scope, rows, named, PAIR)
    return lowered, preference_metrics(term, raw, beta, scope, lowered.value if scope.many else None)


def _beta(score: axes.Score, link: axes.Link, unit: Unit, scope: Scope) -> Node:
    """Make the factor of a score; where no preset says its unit, it takes the unit away that the link cannot take."""
    inner = scope.inside("score")
    plain = isinstance(link, axes.SquaredLink) or (
        isinstance(link, axes.HingeLink) and not inner.given("beta")
    )
    return inner.number("beta", score.beta, "β", Unit() if plain else unit**-1)


def _sorted(term: Preference, scope: Scope) -> Node:
    """Compare sorted policy differences with sorted reference differences (Melnyk et al. 2024, AOT)."""
    anchor = scope.model(anchor_of(term.score))
    if anchor == "none" or term.score.of != LOG_RATIO or term.score.reduce != "sum":
        raise GraphTypeError("`order: sorted` compares summed log-ratios to an anchor")
    policy, reference = (
        b.subtract(*(b.sum_over("token", Logp(model, y)) for y in PAIR)) for model in (POLICY, anchor)
    )
    policy = scope.names.value("d_policy", "Δ_π", "log π(y_w) − log π(y_l)", policy)
    reference = scope.names.value("d_reference", "Δ_r", "the same gap under the reference", reference)
    return b.subtract(policy, Matched(reference, policy))


def _margin(term: Preference, unit: Unit, beta: Node, scope: Scope) -> Node:
    match term.margin:
        case axes.ConstantMargin(value=value):
            return scope.number("value", value, "γ", unit)
        case axes.LengthMargin(alpha=alpha):
            longer = b.subtract(Length(CHOSEN), Length(REJECTED))
            return b.negate(b.multiply(scope.number("alpha", alpha, "α", unit / TOKEN), longer))
        case axes.RewardGapMargin(scale=scale):
            gap = b.subtract(*(Column("reward", y, REWARD) for y in PAIR))
            return b.multiply(scope.number("scale", scale, "κ", unit / REWARD), gap)
        case axes.ColumnMargin():
            return Column("margin", None, unit)
        case axes.DropMargin(weight=weight):
            drop = b.apply("relu", b.negate(log_ratio(term.score, CHOSEN, scope)))
            return b.multiply(beta, scope.number("weight", weight, "λ", Unit()), drop)
        case axes.NoMargin():
            return b.ZERO
        case _:
            assert_never(term.margin)


def _group_preference(term: Preference, scope: Scope) -> Lowered:
    """Compare every pair of a group: Σ_{i>j} (x_i − x_j)² / (k − 1)."""
    if not isinstance(term.link, axes.SquaredLink):
        raise GraphTypeError("`pairs: all` needs the squared link; set `pairs: best_worst` for this link")
    raw = raw_score(term.score, COMPLETIONS, scope)
    beta = _beta(term.score, term.link, raw.type.unit, scope)
    x = b.multiply(beta, raw)
    if isinstance(term.margin, axes.RewardGapMargin):
        scale = scope.inside("margin").number("scale", term.margin.scale, "κ", x.type.unit / REWARD)
        x = b.subtract(x, b.multiply(scale, Column("reward", COMPLETIONS, REWARD)))
    elif not isinstance(term.margin, axes.NoMargin):
        raise GraphTypeError(
            f"`margin: {term.margin.kind}` compares two responses; a group allows only `reward_gap` or `none`"
        )
    x = scope.names.value("x", "x_i", "value of the response that pairs compare", x)
    pairs = Reduce("pairs", "group", x)
    rows = scope.names.row_loss(b.divide(pairs, b.subtract(GroupSize(), b.ONE)))
    lowered = _finished(term, scope, rows, (raw, x), GROUP)
    return lowered, group_metrics(beta, raw, term.kind, lowered.value if scope.many else None)


# ---- pointwise ------------------------------------------------------------------------------------------------


def _pointwise(term: Pointwise, scope: Scope, seen: View) -> Lowered:
    over = _responses(term, seen)
    raw = {y: raw_score(term.score, y, scope) for y in over}
    first = raw[over[0]]
    beta = _beta(term.score, term.link, first.type.unit, scope)
    point = _reference_point(term, raw, beta, scope)
    distance = {}
    for y in over:
        target = _target(term, y, b.multiply(beta, first).type.unit, scope)
        symbol = f"z_{SUFFIX[y]}" if len(over) > 1 else "z"
        away = b.subtract(_placed(term, raw[y], beta, point), target)
        distance[y] = scope.names.value(symbol, symbol, "distance", away, NamedRole.DISTANCE)
    parts = [_judged(term, distance[y], y, scope) for y in over]
    loss = b.add(*parts)
    if not isinstance(term.target, targets.NoTarget):
        # targets are regressed on one by one; a marked pair is one loss, the sum of both
        loss = b.multiply(b.constant(1 / len(parts)), loss)
    if over == GROUP:
        loss = b.divide(b.sum_over("group", loss), GroupSize())
    rows = scope.names.row_loss(loss)
    lowered = _finished(term, scope, rows, (*raw.values(), *distance.values()), over)
    labelled = any(isinstance(n, Column) and n.name == "label" for n in inputs(rows))
    own = lowered.value if scope.many else None
    return lowered, pointwise_metrics(term, raw, beta, point, seen, own, labelled=labelled)


def _placed(term: Pointwise, raw: Node, beta: Node, point: Node | None) -> Node:
    """Place a score relative to the reference point: a log-ratio, which β multiplies, or a mean of whole scores."""
    match term.reference_point:
        case targets.NoPoint():
            return b.multiply(beta, raw)
        case targets.BatchKL():
            assert point is not None
            return b.multiply(beta, b.subtract(raw, point))
        case targets.RunningMean():
            assert point is not None
            return b.subtract(b.multiply(beta, raw), point)
        case _:
            assert_never(term.reference_point)


def _responses(term: Pointwise | KLTerm, seen: View) -> tuple[str, ...]:
    """Find the responses that a term judges; of a pair, `completion` means both."""
    if term.on == COMPLETION:
        return seen.responses
    if term.on not in seen.responses:
        raise GraphTypeError(f"rows have {', '.join(seen.responses)}, not `{term.on}`", "E106")
    return (term.on,)


def _reference_point(term: Pointwise, raw: dict[str, Node], beta: Node, scope: Scope) -> Node | None:
    match term.reference_point:
        case targets.BatchKL():
            ratio = log_ratio(term.score, MISMATCHED, scope)
            mean = b.stop(b.apply("relu", b.mean_over("batch", ratio)))
            words = "reference point: mean log-ratio of mismatched rows, at least 0"
            return scope.names.value("z0", "z₀", words, mean, NamedRole.REFERENCE_POINT)
        case targets.RunningMean():
            mine = b.multiply(b.constant(1 / len(raw)), b.add(*(b.multiply(beta, s) for s in raw.values())))
            if mine.type.axis.grouped:
                mine = b.divide(b.sum_over("group", mine), GroupSize())
            words = "reference point: mean of all scores seen"
            return scope.names.value("z0", "δ", words, Running(mine), NamedRole.REFERENCE_POINT)
        case targets.NoPoint():
            return None
        case _:
            assert_never(term.reference_point)


def _target(term: Pointwise, response: str, unit: Unit, scope: Scope) -> Node:
    inner = scope.inside("target")
    match term.target:
        case targets.ConstantTarget(value=value):
            return inner.number("value", value, "m", unit)
        case targets.RewardTarget() as target:
            reward: Node = Column("reward", response, REWARD)
            if target.baseline == "value":
                learned = Output(Quantity.VALUE, POLICY, response)
                reward = b.subtract(
                    reward, scope.names.value("v", "V", "learned value of the prompt", learned)
                )
            return b.multiply(inner.number("scale", target.scale, "κ", unit / REWARD), reward)
        case targets.WinRateTarget(eta=eta, baseline=baseline, outcome=outcome):
            average = _average(baseline, inner)
            known = {"won": b.ONE, "lost": b.ZERO}.get(outcome)
            rate = (
                Column("win_rate", response, PROBABILITY) if known is None else b.in_unit(known, PROBABILITY)
            )
            ahead = b.subtract(rate, average)
            return b.multiply(inner.number("eta", eta, "η", unit / PROBABILITY), ahead)
        case targets.NoTarget():
            return b.ZERO
        case _:
            assert_never(term.target)


def _average(baseline: float | str, scope: Scope) -> Node:
    """Lower what stands for the log-partition: a constant, or what the rollout estimates."""
    if isinstance(baseline, str):
        return Column(baseline, None, PROBABILITY)
    return scope.number("baseline", baseline, "b", PROBABILITY)


def _judged(term: Pointwise, z: Node, response: str, scope: Scope) -> Node:
    """Judge one response: up, down, or as its label says; an undesirable response has the link of −z.

    Where both directions are one loss, as for the square, no label is read. Raises GraphTypeError E102 where rows have
    none.
    """
    link = scope.inside("link")
    up = _weighted(linked(term.link, z, link), "desirable_weight", term.desirable_weight, "λ_D", scope)
    down = _weighted(
        linked(term.link, b.negate(z), link), "undesirable_weight", term.undesirable_weight, "λ_U", scope
    )
    match term.direction:
        case "up":
            return up
        case "down":
            return down
        case "label" if response in PAIR:
            return up if response == CHOSEN else down
        case "label":
            return up if up is down else _by_label(term, up, down, scope)
        case _:
            assert_never(term.direction)


def _by_label(term: Pointwise, up: Node, down: Node, scope: Scope) -> Node:
    kind = scope.lookup.job.data.kind
    if kind not in LABELLED:
        message = f"`{term.name}` needs a label, which turns this link round, but rows of kind `{kind}` have no label"
        raise GraphTypeError(f"{message}; set `direction: up`, or take the squared link", "E102")
    label = Column("label", None, Unit())
    return b.add(b.multiply(label, up), b.multiply(b.subtract(b.ONE, label), down))


def _weighted(loss: Node, step: str, weight: float, symbol: str, scope: Scope) -> Node:
    return loss if weight == 1 else b.multiply(scope.number(step, weight, symbol, Unit()), loss)


# ---- kl -------------------------------------------------------------------------------------------------------


def _kl(term: KLTerm, scope: Scope, seen: View) -> Lowered:
    parts = {y: estimate(term, y, scope) for y in _responses(term, seen)}
    loss, value = (_averaged([getattr(p, which) for p in parts.values()]) for which in ("loss", "value"))
    rows = scope.names.row_loss(loss)
    named = tuple(n for p in parts.values() for n in p.named)
    lowered = _finished(term, scope, rows, named, tuple(parts))
    return lowered, kl_metrics(value, lowered.value if scope.many else None)


def _averaged(parts: list[Node]) -> Node:
    """Average over a row's responses."""
    if len(parts) == 1 and parts[0].type.axis.grouped:
        return b.divide(b.sum_over("group", parts[0]), GroupSize())
    return parts[0] if len(parts) == 1 else b.multiply(b.constant(1 / len(parts)), b.add(*parts))


# ---- likelihood -----------------------------------------------------------------------------------------------


def _likelihood(term: Likelihood, scope: Scope) -> Lowered:
    logp = log_prob(term.on, scope)
    loss: Node = b.negate(logp)
    if term.reduce == "response_mean":
        loss = b.divide(loss, Length(term.on))
    rows = scope.names.row_loss(loss)
    value = b.mean_over("batch", rows)
    if term.reduce == "token_mean":
        value = b.divide(Reduce("sum", "batch", rows), Reduce("sum", "batch", Length(term.on)))
    weight = scope.weight(term.weight, value.type.unit)
    lowered = TermLoss(term.name, term.kind, weight, value, rows, (logp,), (term.on,))
    return lowered, likelihood_metrics(term, logp, value if scope.many else None)


def log_prob(response: str, scope: Scope) -> Node:
    """Lower the policy's summed log-probability of a response."""
    name = f"l_{SUFFIX[response]}"
    total = b.sum_over("token", Logp(POLICY, response))
    return scope.names.value(name, name, "log-probability, sum over tokens", total)

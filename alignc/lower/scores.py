"""Lower the score of a response: from token log-probabilities to one number."""

from __future__ import annotations

from typing import assert_never

from alignc.contract.models import INITIAL, POLICY
from alignc.contract.outputs import Quantity
from alignc.contract.responses import CHOSEN, PAIR, REJECTED, RESPONSES
from alignc.graph import build as b
from alignc.graph.evaluate import evaluate
from alignc.graph.nodes import Length, Logp, Node, Output, Position
from alignc.graph.types import CONSTANT, GraphTypeError, Unit
from alignc.lower.formulas import Line, own_formula
from alignc.lower.loss import at_reference
from alignc.lower.scope import Scope
from alignc.spec import scores as kinds
from alignc.spec.axes import Score
from alignc.spec.model_source import RunPolicy
from alignc.spec.objective import Preference
from alignc.spec.scores import SCORES, is_ratio

__all__ = ["SUFFIX", "anchor_of", "log_ratio", "raw_score"]

SUFFIX = {name: row.suffix for name, row in RESPONSES.items()}


def anchor_of(score: Score) -> str | RunPolicy:
    """Find the model that a score is taken relative to; `none` for a score of the policy alone."""
    return score.anchor or (INITIAL if is_ratio(score.of) else "none")


def raw_score(score: Score, response: str, scope: Scope) -> Node:
    """Lower a score without its factor β.

    Raises GraphTypeError: E402 for log-odds of a sum, E403 for log-odds of a ratio.
    """
    match score.of:
        case kinds.SCALAR_HEAD:
            node = Output(Quantity.SCORE, POLICY, response)
            name = f"{SCORES[score.of].letter}_{SUFFIX[response]}"
            reduced = scope.names.value(name, name, "score of the reward model", node)
        case kinds.LOG_ODDS:
            reduced = _log_odds(score, response, scope)
        case kinds.F_RATIO:
            reduced = _f_prime(score, _reduced(score, response, scope), response, scope)
        case kinds.LOG_RATIO | kinds.LOG_PROB:
            reduced = _reduced(score, response, scope)
        case _:
            assert_never(score.of)
    return reduced if score.transform is None else _transformed(score, reduced, response, scope)


def log_ratio(score: Score, response: str, scope: Scope) -> Node:
    """Lower the summed log-ratio of a response, whatever the score makes of it: rewards are made of this."""
    plain = Score(
        of=kinds.LOG_RATIO, anchor=score.anchor, tail_weight=score.tail_weight, tail_of=score.tail_of
    )
    return _reduced(plain, response, scope)


def _reduced(score: Score, response: str, scope: Scope) -> Node:
    anchor = scope.model(anchor_of(score))
    ratio = anchor != "none"
    total = b.sum_over("token", _tokens(score, response, anchor if ratio else None, scope))
    mean = score.reduce == "mean"
    if mean:
        total = b.divide(total, Length(response))
    letter = {(True, False): "u", (True, True): "ū", (False, False): "l", (False, True): "a"}[(ratio, mean)]
    what = "log-ratio" if ratio else "log-probability"
    how = "mean over tokens" if mean else "sum over tokens"
    name = f"{letter.replace('ū', 'v')}_{SUFFIX[response]}"
    return scope.names.value(name, f"{letter}_{SUFFIX[response]}", f"{what}, {how}", total)


def _tokens(score: Score, response: str, anchor: str | None, scope: Scope) -> Node:
    policy: Node = Logp(POLICY, response)
    reference: Node | None = Logp(anchor, response) if anchor else None
    if score.tail_weight == 1:
        return policy if reference is None else b.subtract(policy, reference)
    weight = _tail(score, response, scope.inside("score"))
    policy = b.multiply(weight, policy)
    if reference is None:
        return policy
    return b.subtract(policy, b.multiply(weight, reference) if score.tail_of == "both" else reference)


def _tail(score: Score, response: str, scope: Scope) -> Node:
    """Weigh tokens beyond the shorter response's length by α, the others by 1 (Liu et al. 2024, LD-DPO)."""
    if response not in PAIR:
        raise GraphTypeError(
            "`tail_weight` compares the two lengths of a pair, and needs a chosen and a rejected response"
        )
    shorter = b.apply("min", Length(CHOSEN), Length(REJECTED))
    inside = b.apply("at_most", Position(response), shorter)
    alpha = scope.number("tail_weight", score.tail_weight, "α", Unit())
    return b.add(alpha, b.multiply(b.subtract(b.ONE, alpha), inside))


def _log_odds(score: Score, response: str, scope: Scope) -> Node:
    if score.anchor not in (None, "none"):
        raise GraphTypeError("a ratio has no log-odds: a ratio above 1 has no odds", "E403")
    if score.reduce == "sum":
        raise GraphTypeError(
            "a summed log-probability has no useful log-odds: e^l is nearly 0 for any real response", "E402"
        )
    mean = _reduced(Score(of=kinds.LOG_PROB, reduce="mean"), response, scope)
    odds = b.apply("log_odds", b.bare(mean))
    name = f"{SCORES[kinds.LOG_ODDS].letter}_{SUFFIX[response]}"
    return scope.names.value(name, name, "log-odds of the mean token probability: a − log(1 − e^a)", odds)


def _f_prime(score: Score, reduced: Node, response: str, scope: Scope) -> Node:
    """Apply f′ to the ratio (Wang et al. 2023, f-DPO)."""
    u, unit = b.bare(reduced), reduced.type.unit
    match score.divergence:
        case "reverse_kl":
            return reduced
        case "forward_kl":
            slope = b.negate(b.apply("exp", b.negate(u)))
        case "js":
            slope = b.apply("log_sigmoid", u)
        case "alpha":
            alpha = scope.inside("score").number("divergence_alpha", score.divergence_alpha, "α", Unit())
            power = b.subtract(alpha, b.ONE)
            slope = b.divide(b.apply("exp", b.multiply(power, u)), power)
        case _:
            assert_never(score.divergence)
    name = f"{SCORES[kinds.F_RATIO].letter}_{SUFFIX[response]}"
    return scope.names.value(name, name, f"f′ of the ratio, {score.divergence}", b.in_unit(slope, unit))


def _transformed(score: Score, reduced: Node, response: str, scope: Scope) -> Node:
    assert score.transform is not None
    known = {n: b.bare(scope.preset_parameter(n)) for n in scope.bound}
    what = "a transform is a formula over x, the reduced score"
    node = own_formula(score.transform, {**known, "x": b.bare(reduced)}, what, _line(score, reduced))
    name = f"t_{SUFFIX[response]}"
    return scope.names.value(name, name, "transformed score", b.in_unit(node, reduced.type.unit))


def _line(score: Score, reduced: Node) -> Line:
    """Find where a score starts, and what it may be: a ratio starts at one number, a log-probability is below 0."""
    start = at_reference(reduced)
    if start.type.axis == CONSTANT:
        number = float(evaluate(start, {}))
        return Line(
            "x", (number,), (number - 0.5, number - 30.0) if score.of == kinds.F_RATIO else (-1, 1, -30, 30)
        )
    if score.of == kinds.LOG_PROB:
        return Line("x", (-1.0,), (-0.01, -30.0, -300.0))
    return Line("x")


def likelihood_weight(term: Preference, scope: Scope) -> Node:
    """Weigh a pair by the policy's own likelihood of both responses, without gradient (Zhou et al. 2024, WPO)."""
    logs = []
    for response in PAIR:
        tokens = b.subtract(Logp(POLICY, response), Output(Quantity.LOG_SUM_SQUARES, POLICY, response))
        logs.append(b.divide(b.sum_over("token", tokens), Length(response)))
    weight = b.stop(b.apply("exp", b.bare(b.add(*logs))))
    return scope.names.value(
        "weight_wl", "w", "likelihood of both responses under the policy, without gradient", weight
    )

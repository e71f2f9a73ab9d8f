"""The optimum that theory states for a spec, as a policy over the toy's responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from alignc.contract.responses import COMPLETION, COMPLETIONS
from alignc.lower.links import LINKS
from alignc.lower.scores import anchor_of
from alignc.spec.axes import (
    ColumnMargin,
    ConstantMargin,
    DropMargin,
    ExponentialLink,
    HingeLink,
    LengthMargin,
    LogisticLink,
    NoMargin,
    RewardGapMargin,
    RobustLink,
    Score,
    SquaredLink,
    UtilityLink,
)
from alignc.spec.objective import Likelihood, Pointwise, Preference, Term
from alignc.spec.scores import F_RATIO, LOG_RATIO, is_ratio
from alignc.spec.targets import ConstantTarget, NoPoint, NoTarget, RewardTarget, WinRateTarget
from alignc.verify.game import tilt
from alignc.verify.rows import average_rate, demonstrations, labels_of, win_rates
from alignc.verify.toy import Array, Toy, log_softmax

__all__ = ["Stated", "stated"]


@dataclass(frozen=True)
class Stated:
    """An optimum in words, and its log-probabilities; `policy` is None where none exists, or none is stated."""

    words: str
    policy: Array | None
    exists: bool | None = True
    flips: float = 0.0
    """The share of flipped labels that the statement is about."""


def unknown(why: str) -> Stated:
    """State that no closed form is known, and why."""
    return Stated(f"no closed form is known: {why}", None, None)


def stated(terms: Sequence[Term], toy: Toy, *, paired: bool = False) -> Stated:
    """State the optimum of an objective on a toy, for labels drawn by Bradley-Terry from the rewards.

    `paired`: rows hold two different responses, whose law is not the sampler's.
    """
    if len(terms) != 1:
        return unknown("the loss has several terms, and their pulls meet in between")
    match terms[0]:
        case Preference() as term:
            return _preference(term, toy)
        case Pointwise() | Likelihood() if paired:
            return unknown("the responses of a pair are not independent samples")
        case Pointwise() as term:
            return _pointwise(term, toy)
        case Likelihood() as term:
            return _likelihood(term, toy)
    return unknown("the term has no optimum of its own over rows of data")


def _other(score: Score) -> str:
    """Say why a score is not f′ of the plain ratio; empty where it is."""
    if not is_ratio(score.of) or anchor_of(score) == "none":
        return f"the score `{score.of}` is relative to no other policy"
    if score.transform is not None:
        return "the score goes through a formula"
    return "" if score.tail_weight == 1 else "tokens count by the lengths of both responses of a pair"


def _preference(term: Preference, toy: Toy) -> Stated:
    if why := _other(term.score) or _unlike_a_pair(term):
        return unknown(why)
    if isinstance(term.link, SquaredLink):
        return _regression(term, toy)
    factor, flips = 1.0, 0.0
    match term.link:
        case LogisticLink(label_smoothing=0):
            pass
        case LogisticLink(label_smoothing=epsilon):
            return unknown(
                f"for one pair σ(z) = {epsilon:g} + {1 - 2 * epsilon:g}·P, which three responses can't all meet"
            )
        case RobustLink(label_smoothing=epsilon):
            flips = epsilon
        case ExponentialLink():
            factor = 0.5
        case HingeLink():
            return unknown("a hinge is least on a corner: where it lies depends on all labels")
        case _:
            return unknown(f"the link `{term.link.kind}` does not turn labels into log-odds")
    if term.pairs == "demonstration":
        return _demonstrated(term, toy, factor, flips)
    worth = _worth(term, toy, factor)
    if worth is None:
        return unknown(
            f"a margin of kind `{term.margin.kind}` turns round with the pair, so it adds no reward"
        )
    target, words = worth
    policy = _solved(target / term.score.beta, term.score, toy)
    return Stated(_written(term.score, words), policy, True, flips)


def _unlike_a_pair(term: Preference) -> str:
    """Say what a term does beside comparing two responses of a row; empty where it does nothing else."""
    if term.weight <= 0:
        return "a weight that is not above 0 turns the loss round"
    if term.order != "row":
        return "rows are compared by rank"
    if term.center:
        return "the pull of both scores to 0 moves the difference too"
    return "the margin moves with the policy" if isinstance(term.margin, DropMargin) else ""


def _demonstrated(term: Preference, toy: Toy, factor: float, flips: float) -> Stated:
    """Tell demonstrations from samples: at the optimum the score is the log-odds of the two laws."""
    score = term.score
    if flips or not isinstance(term.margin, NoMargin) or score.reduce != "sum" or score.of != LOG_RATIO:
        return unknown(
            "demonstrations and samples are told apart by more than the log-ratio of whole responses"
        )
    power = factor / score.beta
    words = (
        "ref·(data/μ)^(1/β)/Z: the distribution of the data if β = 1 and μ = ref"
        if factor == 1
        else "ref·(data/μ)^(½/β)/Z"
    )
    return Stated(words, log_softmax(toy.reference + power * (demonstrations(toy) - toy.sampler)))


def _worth(term: Preference, toy: Toy, factor: float) -> tuple[Array, str] | None:
    """Find what β·g(u) must equal, up to a constant, so that the margin is the log-odds of the labels."""
    rewards = factor * toy.rewards
    half = "" if factor == 1 else "½"
    match term.margin:
        case NoMargin() | ColumnMargin():
            return rewards, f"{half}R"
        case LengthMargin(alpha=alpha):
            return rewards - alpha * np.array(toy.lengths), f"({half}R − α·n)"
        case RewardGapMargin(scale=scale):
            return rewards + scale * toy.rewards, f"({half}R + κ·R)"
    return None


def _regression(term: Preference, toy: Toy) -> Stated:
    match term.margin:
        case RewardGapMargin(scale=scale):
            target, words = scale * toy.rewards, "R" if scale == 1 else "κ·R"
        case ConstantMargin() if term.sample_weight != "none":
            return unknown("no policy meets the constant margin for all pairs, and the weights of pairs move")
        case ConstantMargin(value=value):
            target = value * (2 * labels_of(toy, "noisy") @ np.exp(toy.sampler) - 1)
            words = "2·m·p(y ≻ μ)"
        case _:
            return unknown(f"a square of a margin of kind `{term.margin.kind}` is least at no stated policy")
    return Stated(_written(term.score, words), _solved(target / term.score.beta, term.score, toy))


def _written(score: Score, words: str) -> str:
    if score.reduce == "mean":
        return f"ref·exp(n·({words} − c)/β)"
    if score.of == F_RATIO and score.divergence != "reverse_kl":
        return f"f′(π/ref) = ({words} − ν)/β"
    return f"ref·exp({words}/β)/Z" if score.beta != 1 else f"ref·exp({words})/Z"


def _inverse(score: Score) -> tuple[Callable[[Array], Array], float]:
    """Invert g, and say below which value its argument must stay."""
    if score.of == LOG_RATIO or score.divergence == "reverse_kl":
        return lambda g: g, np.inf
    if score.divergence == "forward_kl":
        return lambda g: -np.log(-g), 0.0
    if score.divergence == "js":
        return lambda g: g - np.log(-np.expm1(g)), 0.0
    power = score.divergence_alpha - 1
    return lambda g: np.log(power * g) / power, 0.0


def _solved(target: Array, score: Score, toy: Toy) -> Array:
    """Solve g(u) = target − c (or g(u)/n, for means) with c that normalises, counted from the largest target."""
    inverse, bound = _inverse(score)
    times = np.array(toy.lengths, float) if score.reduce == "mean" else np.ones(toy.size)
    below = target - target.max()
    start = 0.0 if np.isfinite(bound) else -200.0

    def policy(c: float) -> Array:
        found: Array = toy.reference + inverse(times * (below - c))
        return found

    high = 1.0
    with np.errstate(all="ignore"):
        while not np.exp(policy(high)).sum() < 1:
            high *= 2
        return _normalised(lambda c: float(np.exp(policy(c)).sum()), start, high, policy)


def _normalised(
    mass: Callable[[float], float], low: float, high: float, policy: Callable[[float], Array]
) -> Array:
    """Bisect for the constant at which probabilities add up to 1; the mass falls as it grows."""
    for _ in range(300):
        middle = (low + high) / 2
        low, high = (middle, high) if not mass(middle) <= 1 else (low, middle)
    return log_softmax(policy((low + high) / 2))


def _pointwise(term: Pointwise, toy: Toy) -> Stated:
    even = term.desirable_weight == term.undesirable_weight > 0
    if term.weight <= 0 or term.on not in (COMPLETION, COMPLETIONS):
        return unknown("the responses that are judged are not the sampler's, or the loss is turned round")
    if (
        isinstance(term.link, UtilityLink)
        and term.direction == "label"
        and even
        and _compares_with_zero(term)
    ):
        words = "a response that wins more often than not rises, and each other response falls without bound"
        return Stated(f"none: {words}", None, False)
    if why := _unlike_a_fit(term, even=even):
        return unknown(why)
    return _fit(term, toy)


def _unlike_a_fit(term: Pointwise, *, even: bool) -> str:
    """Say why a term is no regression of the log-ratio on a target; empty where it is one."""
    fits = LINKS[term.link.kind].regression and not isinstance(term.target, NoTarget)
    one_way = term.direction == "up" or (fits and term.direction == "label" and even)
    if not one_way or term.desirable_weight == 0:
        return "rows that should rise and rows that should fall have losses of their own"
    if not isinstance(term.reference_point, NoPoint):
        return "the reference point of the batch moves with the policy"
    if not isinstance(term.link, SquaredLink):
        return f"the link `{term.link.kind}` of one response fits no target"
    ratio = term.score.of == F_RATIO and term.score.divergence != "reverse_kl"
    return _other(term.score) or ("the target is fitted by f′ of the ratio" if ratio else "")


def _fit(term: Pointwise, toy: Toy) -> Stated:
    """State where a regression of the log-ratio on its target ends."""
    beta = term.score.beta
    match term.target:
        case RewardTarget(baseline="value", scale=scale):
            words = "R" if scale == 1 else "κ·R"
            return Stated(_written(term.score, words), _solved(scale * toy.rewards / beta, term.score, toy))
        case RewardTarget(scale=scale):
            target = scale * toy.rewards
        case WinRateTarget(outcome="column", eta=eta, baseline=baseline):
            target = eta * (win_rates(toy) - average_rate(toy, eta, baseline))
        case ConstantTarget(value=value):
            target = np.full(toy.size, value)
        case _:
            return unknown(f"a target of kind `{term.target.kind}` that follows the label")
    if term.score.reduce == "mean":
        return unknown("a mean over tokens meets its target at no normalised policy")
    if _mass(toy.reference + target / beta) < -1e-12:
        return unknown("the target lies below every policy, so Lambert's W has two branches")
    words = "u = t − W(κ·(ref/μ)·e^t), t the target" + ("/β" if beta != 1 else "")
    return Stated(words, _tilted(target / beta, toy))


def _compares_with_zero(term: Pointwise) -> bool:
    """Tell whether a log-ratio is compared with no target."""
    plain = not _other(term.score) and term.score.of == LOG_RATIO
    return plain and isinstance(term.target, NoTarget)


def _mass(logs: Array) -> float:
    """Compute the logarithm of a sum of exponentials."""
    top = float(logs.max())
    return top + float(np.log(np.exp(logs - top).sum()))


def _tilted(target: Array, toy: Toy) -> Array:
    """Minimise Σ μ·(u − t)² over policies: u + κ·(ref/μ)·e^u = t, by v = u + log ref/μ against μ."""
    moved = tilt(toy.sampler, target + toy.reference - toy.sampler)[0]
    return log_softmax(toy.sampler + moved)


def _likelihood(term: Likelihood, toy: Toy) -> Stated:
    if term.weight <= 0 or term.on != COMPLETION:
        return unknown("the responses that are imitated are not the sampler's, or are pushed down")
    shift = np.log(toy.lengths) if term.reduce == "response_mean" else 0.0
    words = "the distribution of the data" + (", by 1/n" if term.reduce == "response_mean" else "")
    return Stated(words, log_softmax(toy.sampler - shift))

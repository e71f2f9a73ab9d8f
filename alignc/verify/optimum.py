"""The optimum that theory states for a spec, as a policy over the toy's responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from alignc.contract.responses import COMPLETION
from alignc.lower.scores import anchor_of
from alignc.spec.axes import (
    ColumnMargin,
    ConstantMargin,
    DropMargin,
    ExponentialLink,
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
from alignc.spec.targets import ConstantTarget, RewardTarget, WinRateTarget
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


UNSTATED = Stated("no closed form is stated for this combination", None, None)


def stated(terms: Sequence[Term], toy: Toy) -> Stated:
    """State the optimum of an objective on a toy, for labels drawn by Bradley-Terry from the rewards."""
    if len(terms) != 1:
        return UNSTATED
    match terms[0]:
        case Preference() as term:
            return _preference(term, toy)
        case Pointwise() as term:
            return _pointwise(term, toy)
        case Likelihood() as term:
            return _likelihood(term, toy)
    return UNSTATED


def _plain(score: Score) -> bool:
    ratio = is_ratio(score.of) and anchor_of(score) != "none"
    return ratio and score.transform is None and score.tail_weight == 1


def _preference(term: Preference, toy: Toy) -> Stated:
    if not _plain(term.score) or term.order != "row" or term.center or isinstance(term.margin, DropMargin):
        return UNSTATED
    if isinstance(term.link, SquaredLink):
        return _regression(term, toy)
    factor, flips = 1.0, 0.0
    match term.link:
        case LogisticLink(label_smoothing=0):
            pass
        case RobustLink(label_smoothing=epsilon):
            flips = epsilon
        case ExponentialLink():
            factor = 0.5
        case _:
            return UNSTATED
    if term.pairs == "demonstration":
        return _demonstrated(term, toy, factor, flips)
    worth = _worth(term, toy, factor)
    if worth is None:
        return UNSTATED
    target, words = worth
    policy = _solved(target / term.score.beta, term.score, toy)
    return Stated(_written(term.score, words), policy, True, flips)


def _demonstrated(term: Preference, toy: Toy, factor: float, flips: float) -> Stated:
    """Tell demonstrations from samples: at the optimum the score is the log-odds of the two laws."""
    if (
        flips
        or not isinstance(term.margin, NoMargin)
        or term.score.reduce != "sum"
        or term.score.of != LOG_RATIO
    ):
        return UNSTATED
    power = factor / term.score.beta
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
            target, words = scale * toy.rewards, "R"
        case ConstantMargin(value=value):
            target = value * (2 * labels_of(toy, "noisy") @ np.exp(toy.sampler) - 1)
            words = "2·m·p(y ≻ μ)"
        case _:
            return UNSTATED
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
        return lambda g: -np.log(np.expm1(-g)), 0.0
    power = score.divergence_alpha - 1
    return lambda g: np.log(power * g) / power, 0.0


def _solved(target: Array, score: Score, toy: Toy) -> Array:
    """Solve g(u) = target − c (or g(u)/n, for means) with c that normalises."""
    inverse, bound = _inverse(score)
    times = np.array(toy.lengths, float) if score.reduce == "mean" else np.ones(toy.size)

    def mass(c: float) -> float:
        return float(np.exp(toy.reference + inverse(times * (target - c))).sum())

    low = float(target.max()) - bound + 1e-12 if np.isfinite(bound) else float(target.min()) - 200.0
    return _normalised(mass, low, float(target.max()) + 1e6 if np.isfinite(bound) else float(target.max()) + 200.0,
                       lambda c: toy.reference + inverse(times * (target - c)))  # fmt: skip


def _normalised(
    mass: Callable[[float], float], low: float, high: float, policy: Callable[[float], Array]
) -> Array:
    """Bisect for the constant at which probabilities add up to 1; the mass falls as it grows."""
    with np.errstate(over="ignore"):
        for _ in range(300):
            middle = (low + high) / 2
            low, high = (middle, high) if mass(middle) > 1 else (low, middle)
    return log_softmax(policy((low + high) / 2))


def _pointwise(term: Pointwise, toy: Toy) -> Stated:
    if isinstance(term.link, UtilityLink):
        return Stated(
            "none: a response that wins more often than not rises, and each other response falls without bound",
            None,
            False,
        )
    if not isinstance(term.link, SquaredLink) or not _plain(term.score) or term.score.of == F_RATIO:
        return UNSTATED
    beta = term.score.beta
    match term.target:
        case RewardTarget(baseline="value", scale=scale):
            return Stated(_written(term.score, "R"), _solved(scale * toy.rewards / beta, term.score, toy))
        case RewardTarget(scale=scale):
            target = scale * toy.rewards
        case WinRateTarget(outcome="column", eta=eta, baseline=baseline):
            target = eta * (win_rates(toy) - average_rate(toy, eta, baseline))
        case ConstantTarget(value=value):
            target = np.full(toy.size, value)
        case _:
            return UNSTATED
    if term.score.reduce == "mean":
        return UNSTATED
    if np.exp(toy.reference + target / beta).sum() < 1 - 1e-12:
        return UNSTATED  # κ < 0: the target lies below every policy
    words = "u = t − W(κ·(ref/μ)·e^t), t the target" + ("/β" if beta != 1 else "")
    return Stated(words, _tilted(target / beta, toy))


def _tilted(target: Array, toy: Toy) -> Array:
    """Minimise Σ μ·(u − t)² over policies: u + κ·(ref/μ)·e^u = t, with κ that normalises."""
    weight = toy.reference - toy.sampler

    def u(kappa: float) -> Array:
        return target - _lambert(kappa, weight + target)

    low, high = 0.0, 1.0
    while np.exp(toy.reference + u(high)).sum() > 1:
        high *= 2
    for _ in range(300):
        middle = (low + high) / 2
        low, high = (middle, high) if np.exp(toy.reference + u(middle)).sum() > 1 else (low, middle)
    return log_softmax(toy.reference + u((low + high) / 2))


def _lambert(kappa: float, log_scale: Array) -> Array:
    """Solve w·e^w = κ·e^a for w ≥ 0, by Newton on w + log w = log κ + a."""
    if kappa == 0:
        return np.zeros_like(log_scale)
    y = np.log(kappa) + log_scale
    w: Array = np.where(y > 1, np.maximum(y, 1e-300), np.exp(np.minimum(y, 1)))
    for _ in range(100):
        w = np.asarray(np.maximum(w - (w + np.log(w) - y) * w / (1 + w), 1e-320))
    return w


def _likelihood(term: Likelihood, toy: Toy) -> Stated:
    if term.weight <= 0 or term.on != COMPLETION:
        return UNSTATED
    shift = np.log(toy.lengths) if term.reduce == "response_mean" else 0.0
    words = "the distribution of the data" + (", by 1/n" if term.reduce == "response_mean" else "")
    return Stated(words, log_softmax(toy.sampler - shift))

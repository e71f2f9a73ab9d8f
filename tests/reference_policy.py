"""Losses and gradients of the online methods, token by token, from their papers' formulas.

Plain arithmetic in float64, and nothing of alignc: what its graphs are compared with. A row is an example as
`explain --at` takes it; the answer is the loss of all rows together, as one global batch, and the slope on every
token's log-probability (and value, and entropy), written down by hand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Method", "Slopes", "evaluated"]

Response = dict[str, Any]
Row = list[Response]
Pair = tuple[float, float]
"""A value and its slope."""


@dataclass(frozen=True)
class Method:
    """A method by its choices; `given` advantages are read from the row, others made from its rewards."""

    surrogate: tuple[Any, ...] = ("reinforce",)
    ratio: str = "token"
    aggregation: str = "sequence_mean"
    baseline: tuple[Any, ...] = ("none",)
    reward: str = "reward"
    kl: tuple[str, str, float, str] | None = None
    """Estimator, placement, β, granularity."""
    given: bool = False
    value: tuple[float, float | None] | None = None
    """Weight of the critic's loss, and its clip."""
    entropy: float = 0.0


@dataclass
class Slopes:
    """By row, response and token: the slope on log π, on the value, on the entropy, on the full divergence."""

    logp: list[list[list[float]]] = field(default_factory=list)
    value: list[list[list[float]]] = field(default_factory=list)
    entropy: list[list[list[float]]] = field(default_factory=list)
    divergence: list[list[list[float]]] = field(default_factory=list)


def evaluated(rows: Sequence[Row], method: Method) -> tuple[float, Slopes]:
    """Compute the loss of a global batch and its slopes."""
    tokens = sum(len(y["logp"]) for row in rows for y in row)
    loss, slopes = 0.0, Slopes()
    for row in rows:
        earned = advantages(row, method)
        found: tuple[list[Any], ...] = ([], [], [], [])
        for y, advantage in zip(row, earned, strict=True):
            by_token, by_response = shares(method.aggregation, len(rows), len(row), len(y["logp"]), tokens)
            one, slope, pulled = response_loss(y, advantage, method, (by_token, by_response))
            critic, moved = critic_loss(y, method)
            loss += one + critic / tokens - method.entropy * sum(y.get("entropy", ())) / tokens
            found[0].append(slope)
            found[1].append([m / tokens for m in moved])
            found[2].append([-method.entropy / tokens] * len(y["logp"]))
            found[3].append(pulled)
        slopes.logp.append(found[0])
        slopes.value.append(found[1])
        slopes.entropy.append(found[2])
        slopes.divergence.append(found[3])
    return loss, slopes


def shares(aggregation: str, rows: int, k: int, n: int, tokens: int) -> tuple[float, float]:
    """What one token counts, and what a response counts that has one number: 1/|o| in GRPO, 1/Σ|o| in DAPO, …"""
    response = 1 / (rows * k)
    return {
        "token_mean": (response / n, response),
        "sequence_mean": (response, response),
        "global_token_mean": (1 / tokens, math.nan),
        "fixed_length": (response / LONGEST, response / LONGEST),
    }[aggregation]


LONGEST = 64
"""`data.max_new_tokens`."""


# ---- rewards and advantages ------------------------------------------------------------------------------------


def advantages(row: Row, method: Method) -> list[list[float]]:
    """Give every token its advantage: R′ less a baseline, the same for all tokens of a response."""
    if method.given:
        return [list(y["advantage"]) for y in row]
    rewards = [y[method.reward] - penalty(y, method) for y in row]
    k, total = len(rewards), sum(rewards)
    mean = total / k
    match method.baseline:
        case ("none",):
            above = rewards
        case ("constant", b):
            above = [r - b for r in rewards]
        case ("leave_one_out",) | ("other",):
            above = [r - (total - r) / (k - 1) for r in rewards]
        case ("group_mean",):
            above = [r - mean for r in rewards]
        case ("group_std", ddof, epsilon):
            std = math.sqrt(sum((r - mean) ** 2 for r in rewards) / (k - ddof))
            above = [(r - mean) / (std + epsilon) for r in rewards]
    return [[a] * len(y["logp"]) for a, y in zip(above, row, strict=True)]


def penalty(y: Response, method: Method) -> float:
    """β·κ(Σ_t(o_t − r_t)): what the KL takes off the reward, under the policy that sampled."""
    if method.kl is None or method.kl[1] != "reward":
        return 0.0
    estimator, _, beta, granularity = method.kl
    assert granularity == "sequence"
    if estimator == "full":
        return beta * sum(y["old_divergence"])
    return beta * kappa(estimator, sum(y["old_logp"]) - sum(y["ref_logp"]))[0]


def kappa(estimator: str, u: float) -> Pair:
    """κ(u) and κ′(u)."""
    match estimator:
        case "k1":
            return u, 1.0
        case "k2":
            return u * u / 2, u
        case "k3":
            return math.exp(-u) - 1 + u, 1 - math.exp(-u)
    return abs(u), math.copysign(1.0, u) if u else 0.0


# ---- surrogate and KL of one response ---------------------------------------------------------------------------


def response_loss(
    y: Response, advantage: list[float], method: Method, share: Pair
) -> tuple[float, list[float], list[float]]:
    """Weigh the tokens of a response, or the response as one: its part of the loss, and the slope of each token.

    The last are those on the full divergence, where that is in the loss.
    """
    loss, slopes = surrogate_loss(y, advantage, method, share)
    if method.kl is not None and method.kl[0] == "full" and method.kl[1] != "reward":
        held, pulled, apart = full_loss(y, method.kl, share)
        return loss + held, [a + b for a, b in zip(slopes, pulled, strict=True)], apart
    if method.kl is not None and method.kl[1] != "reward":
        held, pulled = kl_loss(y, method.kl, share)
        loss, slopes = loss + held, [a + b for a, b in zip(slopes, pulled, strict=True)]
    return loss, slopes, []


def surrogate_loss(
    y: Response, advantage: list[float], method: Method, share: Pair
) -> tuple[float, list[float]]:
    l, o = y["logp"], y["old_logp"]
    n, kind = len(l), method.surrogate[0]
    moved = [a - b for a, b in zip(l, o, strict=True)]
    if method.ratio != "token" and kind not in ("reinforce", "cispo"):
        per = n if method.ratio == "sequence_mean" else 1
        value, slope = clipped_or_not(method.surrogate, sum(moved) / per, advantage[0])
        return -share[1] * value, [-share[1] * slope / per] * n
    if method.ratio != "token":
        moved = [sum(moved) / (n if method.ratio == "sequence_mean" else 1)] * n
    pairs = [carried(method.surrogate, *each) for each in zip(moved, l, advantage, strict=True)]
    return -share[0] * sum(p[0] for p in pairs), [-share[0] * p[1] for p in pairs]


def carried(surrogate: tuple[Any, ...], moved: float, l: float, a: float) -> Pair:
    """One token's surrogate and its slope on log π."""
    match surrogate:
        case ("reinforce",):
            return a * l, a
        case ("cispo", low, high):
            weight = min(max(math.exp(moved), 1 - low), 1 + high)
            return weight * a * l, weight * a
    return clipped_or_not(surrogate, moved, a)


def clipped_or_not(surrogate: tuple[Any, ...], moved: float, a: float) -> Pair:
    """What depends on the ratio ρ = e^moved alone, and its slope on log ρ; by cases, as PPO's text draws it."""
    rho = math.exp(moved)
    match surrogate:
        case ("importance",):
            return rho * a, rho * a
        case ("soft", tau):
            gate = 1 / (1 + math.exp(-tau * (rho - 1))) if tau * (rho - 1) > -700 else 0.0
            return 4 / tau * gate * a, 4 * gate * (1 - gate) * rho * a
        case ("clipped", low, high, dual):
            if a > 0 and rho > 1 + high:
                return (1 + high) * a, 0.0
            if a < 0 and rho < 1 - low:
                return (1 - low) * a, 0.0
            if a < 0 and dual is not None and rho > dual:
                return dual * a, 0.0
            return rho * a, rho * a
    raise ValueError(surrogate)


def kl_loss(y: Response, kl: tuple[str, str, float, str], share: Pair) -> tuple[float, list[float]]:
    """β·κ(u), or β·ρ·κ(u) with the ratio's own slope: by token, or of the whole response."""
    estimator, placement, beta, granularity = kl
    u = [a - b for a, b in zip(y["logp"], y["ref_logp"], strict=True)]
    moved = [a - b for a, b in zip(y["logp"], y["old_logp"], strict=True)]
    if granularity == "sequence":
        value, slope = held(estimator, placement, sum(u), sum(moved))
        return share[1] * beta * value, [share[1] * beta * slope] * len(u)
    pairs = [held(estimator, placement, *each) for each in zip(u, moved, strict=True)]
    return share[0] * beta * sum(p[0] for p in pairs), [share[0] * beta * p[1] for p in pairs]


def full_loss(
    y: Response, kl: tuple[str, str, float, str], share: Pair
) -> tuple[float, list[float], list[float]]:
    """β·D, or β·ρ·D with the ratio's own slope, D being read from the row: by token, or summed over the response."""
    _, placement, beta, granularity = kl
    n, apart = len(y["logp"]), y["divergence"]
    moved = [a - b for a, b in zip(y["logp"], y["old_logp"], strict=True)]
    whole = granularity == "sequence"
    if whole:
        moved, apart = [sum(moved)] * n, [sum(apart)] * n
    rho = [math.exp(m) if placement == "ratio" else 1.0 for m in moved]
    weight = beta * share[whole]
    values = [weight * r * d for r, d in zip(rho, apart, strict=True)]
    pulled = [v if placement == "ratio" else 0.0 for v in values]
    return values[0] if whole else sum(values), pulled, [weight * r for r in rho]


def held(estimator: str, placement: str, u: float, moved: float) -> Pair:
    value, slope = kappa(estimator, u)
    if placement == "loss":
        return value, slope
    rho = math.exp(moved)
    return rho * value, rho * (value + slope)


# ---- the critic ------------------------------------------------------------------------------------------------


def critic_loss(y: Response, method: Method) -> tuple[float, list[float]]:
    """c_v·½·max((V − G)², (clip(V) − G)²), V held within ε_v of the rollout's; summed over tokens."""
    if method.value is None:
        return 0.0, []
    weight, limit = method.value
    pairs = [regression(*each, limit) for each in zip(y["value"], y["return"], y["old_value"], strict=True)]
    return weight * sum(p[0] for p in pairs), [weight * p[1] for p in pairs]


def regression(v: float, g: float, old: float, limit: float | None) -> Pair:
    free = (v - g) ** 2 / 2, v - g
    if limit is None or abs(v - old) <= limit:
        return free
    near = old + math.copysign(limit, v - old)
    return free if (v - g) ** 2 >= (near - g) ** 2 else ((near - g) ** 2 / 2, 0.0)

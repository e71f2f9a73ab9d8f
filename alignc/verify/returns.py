"""Advantages of a group, written from the definitions in plain arithmetic: returns, GAE, baselines, whitening."""

from __future__ import annotations

import math
from collections.abc import Sequence

from alignc.contract.baselines import BASELINES
from alignc.contract.needs import Advantage, Baseline

__all__ = ["group_advantages", "paid"]

Tokens = list[list[float]]


def paid(reward: float, length: int, penalty: Sequence[float] | float | None) -> list[float]:
    """Pay a response word by word: its reward with the last one, less a penalty of each, or of the whole."""
    found = [0.0] * length
    found[-1] = reward
    if isinstance(penalty, Sequence):
        return [f - p for f, p in zip(found, penalty, strict=True)]
    found[-1] -= penalty or 0.0
    return found


def returns(amounts: Sequence[float], discount: float) -> list[float]:
    """Sum what is paid from each word on: G_t = Σ_{s≥t} γ^{s−t}·R_s."""
    return [
        math.fsum(discount ** (s - t) * amounts[s] for s in range(t, len(amounts)))
        for t in range(len(amounts))
    ]


def gae(amounts: Sequence[float], values: Sequence[float], discount: float, weight: float) -> list[float]:
    """Sum the temporal differences: A_t = Σ_{s≥t} (γλ)^{s−t}·(R_s + γ·V_{s+1} − V_s), V = 0 after the last word."""
    later = [*values[1:], 0.0]
    errors = [r + discount * n - v for r, n, v in zip(amounts, later, values, strict=True)]
    return returns(errors, discount * weight)


def group_advantages(how: Advantage, amounts: Tokens, values: Tokens | None) -> Tokens:
    """Compute the advantage of every word of a rollout of one group."""
    if BASELINES[how.baseline.kind].levels is None:
        assert values is not None
        found = [gae(a, v, how.discount, how.gae_lambda) for a, v in zip(amounts, values, strict=True)]
    else:
        to_go = [returns(a, how.discount) for a in amounts]
        levels, scale = _levels(how.baseline, [g[0] for g in to_go])
        found = [[(g - b) / scale for g in row] for row, b in zip(to_go, levels, strict=True)]
    return _whitened(found) if how.whiten else found


def _levels(baseline: Baseline, totals: list[float]) -> tuple[list[float], float]:
    levels, settings, k = BASELINES[baseline.kind].levels, baseline.settings, len(totals)
    assert levels is not None
    if not settings.get("std"):
        return levels(totals, settings), 1.0
    mean, free = math.fsum(totals) / k, k - settings.get("ddof", 1)
    spread = math.sqrt(math.fsum((x - mean) ** 2 for x in totals) / free)
    scale = spread + settings["epsilon"] if spread > 0 else math.inf
    return levels(totals, settings), scale


def _whitened(found: Tokens) -> Tokens:
    flat = [x for row in found for x in row]
    mean = math.fsum(flat) / len(flat)
    variance = math.fsum((x - mean) ** 2 for x in flat) / max(1, len(flat) - 1)
    scale = 1 / math.sqrt(variance + 1e-8)
    return [[(x - mean) * scale for x in row] for row in found]

"""The KL controller: a factor on the KL in the reward that follows a target from rollout to rollout."""

from __future__ import annotations

from torch import Tensor

from ...contract.needs import AdaptiveKL

__all__ = ["STEP", "next_strength", "scale_penalties"]

STEP = 0.2
"""The largest relative distance from the target that counts (Ziegler et al. 2019, section 2.2)."""


def next_strength(strength: float, divergence: float, responses: int, adaptive: AdaptiveKL) -> float:
    """Give the factor on β for the next rollout: up where the KL is above its target, down where below.

    ``divergence`` is the rollout's mean KL of a response in nat, ``responses`` their number.
    """
    away = min(max(divergence / adaptive.target - 1.0, -STEP), STEP)
    return strength * (1.0 + away * responses / adaptive.horizon)


def scale_penalties(penalties: Tensor | None, strength: float) -> Tensor | None:
    """Charge a penalty by the strength of the rollout."""
    return None if penalties is None else penalties * strength

"""The KL controller: a factor on the KL in the reward that follows a target from rollout to rollout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

__all__ = ["STEP", "next_strength", "scale_penalties"]

STEP = 0.2
"""The largest relative distance from the target that counts (Ziegler et al. 2019, section 2.2)."""


def next_strength(strength: float, divergence: float, responses: int, adaptive: Mapping[str, Any]) -> float:
    """Give the factor on β for the next rollout: up where the KL is above its target, down where below.

    ``divergence`` is the rollout's mean KL of a response in nat, ``responses`` their number.
    """
    away = min(max(divergence / float(adaptive["target"]) - 1.0, -STEP), STEP)
    return strength * (1.0 + away * responses / float(adaptive["horizon"]))


def scale_penalties(penalties: Tensor | None, strength: float) -> Tensor | None:
    """Charge a penalty by the strength of the rollout."""
    return None if penalties is None else penalties * strength

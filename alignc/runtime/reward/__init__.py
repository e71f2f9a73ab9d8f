"""Rewards of sampled responses, and oracles that prefer one response to another."""

from .allowed import allowed_names
from .build import build_reward
from .combine import Reward
from .oracle import Oracle, build_oracle, win_rates
from .sample import Sample, Scores

__all__ = [
    "Oracle",
    "Reward",
    "Sample",
    "Scores",
    "allowed_names",
    "build_oracle",
    "build_reward",
    "win_rates",
]

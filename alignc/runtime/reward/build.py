"""From a spec's `reward` to the sources that give it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .allowed import require_function, require_host
from .combine import Part, Reward, part_names
from .endpoint import Endpoint
from .function import Expression, FunctionReward
from .sample import Source
from .texts import Column, Verifier

__all__ = ["build_reward"]

Config = Mapping[str, Any]


def build_reward(config: Config | Sequence[Config], *, allowed: Sequence[str], device: Any) -> Reward:
    """Build a reward from its resolved section: a source, or a list of sources with weights.

    ``allowed`` names the functions and hosts that a person allowed (``allowed_names``), ``device`` is where reward
    models compute. Raises Failure E610, E611 or E612, and what reading a model raises. Every permission is looked
    at before anything is loaded.
    """
    configs = [config] if isinstance(config, Mapping) else list(config)
    for each in configs:
        check_allowed(each, allowed)
    parts: list[Part] = []
    for name, each in zip(part_names(configs), configs, strict=True):
        parts.append((name, float(each.get("weight", 1.0)), build_source(each, device)))
    return Reward(parts)


def check_allowed(config: Config, allowed: Sequence[str]) -> None:
    """Raise E610 or E611 for what was not allowed."""
    if config["kind"] == "function":
        require_function(config["name"], allowed)
    elif config["kind"] == "http":
        require_host(config["url"], allowed)


def build_source(config: Config, device: Any) -> Source:
    """Build one source."""
    kind = config["kind"]
    if kind == "verifier":
        return Expression(config["pattern"]) if config["name"] == "regex" else Verifier(config)
    if kind == "column":
        return Column(config["name"])
    if kind == "function":
        return FunctionReward(config["name"], float(config["timeout"]))
    if kind == "http":
        return Endpoint(config["url"], float(config["timeout"]), int(config["retries"]))
    from .model import RewardModel

    return RewardModel(config["path"], device)

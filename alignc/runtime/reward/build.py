"""From a spec's `reward` to the sources that give it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...contract.rewards import FUNCTION, HTTP, MODEL, Permission, asked, part_names
from ...contract.tables import look_up
from .allowed import require_function, require_host
from .combine import Part, Reward
from .endpoint import Endpoint
from .function import FunctionReward
from .sample import Source
from .texts import TEXT_SOURCES

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
    """Raise E610 or E611 for what was not allowed, and E806 for a kind that this runtime does not know."""
    if (function := asked(config, Permission.FUNCTION)) is not None:
        require_function(function, allowed)
    if (url := asked(config, Permission.HOST)) is not None:
        require_host(url, allowed)


def build_source(config: Config, device: Any) -> Source:
    """Build one source. Failure E806 for a kind that gives no reward."""
    return look_up(BUILDERS, config["kind"], "source of reward")(config, device)


def reward_model(config: Config, device: Any) -> Source:
    """Build a reward model, whose modules take seconds to import."""
    from .model import RewardModel

    return RewardModel(config["path"], device)


BUILDERS: Mapping[str, Callable[[Config, Any], Source]] = {
    **TEXT_SOURCES,
    FUNCTION.name: lambda config, device: FunctionReward(config["name"], float(config["timeout"])),
    HTTP.name: lambda config, device: Endpoint(
        config["url"], float(config["timeout"]), int(config["retries"])
    ),
    MODEL.name: reward_model,
}
"""How each source is built from its section and the device of reward models, by its kind."""

"""From a spec's `reward` to the sources that give it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...contract.rewards import FUNCTION, HTTP, MODEL, Permission, asked, part_names
from ...contract.tables import look_up
from ..data.template import Template
from .allowed import require_function, require_host
from .combine import Part, Reward
from .endpoint import Endpoint
from .function import FunctionReward
from .sample import Source
from .texts import TEXT_SOURCES

__all__ = ["build_reward"]

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Around:
    """What reward models get from the job around them: where they compute, and how conversations are written."""

    device: Any
    template: Template


def build_reward(
    config: Config | Sequence[Config],
    *,
    allowed: Sequence[str],
    device: Any,
    template: Template | None = None,
) -> Reward:
    """Build a reward from its resolved section: a source, or a list of sources with weights.

    ``allowed`` names the functions and hosts that a person allowed (``allowed_names``), ``device`` is where reward
    models compute, ``template`` what their own templates are given. Raises Failure E610, E611 or E612, and what reading
    a model raises. Every permission is looked at before anything is loaded.
    """
    configs = [config] if isinstance(config, Mapping) else list(config)
    for each in configs:
        check_allowed(each, allowed)
    around = Around(device, template or Template())
    parts: list[Part] = []
    for name, each in zip(part_names(configs), configs, strict=True):
        parts.append((name, float(each.get("weight", 1.0)), build_source(each, around)))
    return Reward(parts)


def check_allowed(config: Config, allowed: Sequence[str]) -> None:
    """Raise E610 or E611 for what was not allowed, and E806 for a kind that this runtime does not know."""
    if (function := asked(config, Permission.FUNCTION)) is not None:
        require_function(function, allowed)
    if (url := asked(config, Permission.HOST)) is not None:
        require_host(url, allowed)


def build_source(config: Config, around: Around) -> Source:
    """Build one source. Failure E806 for a kind that gives no reward."""
    return look_up(BUILDERS, config["kind"], "source of reward")(config, around)


def reward_model(config: Config, around: Around) -> Source:
    """Build a reward model, whose modules take seconds to import."""
    from .model import RewardModel

    return RewardModel(config["path"], around.device, around.template)


BUILDERS: Mapping[str, Callable[[Config, Around], Source]] = {
    **TEXT_SOURCES,
    FUNCTION.name: lambda config, around: FunctionReward(config["name"], float(config["timeout"])),
    HTTP.name: lambda config, around: Endpoint(
        config["url"], float(config["timeout"]), int(config["retries"])
    ),
    MODEL.name: reward_model,
}
"""How each source is built from its section and what is around reward models, by its kind."""

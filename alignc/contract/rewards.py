"""The sources of reward and the oracles that compare responses: a row each, by their `kind`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from .tables import look_up

__all__ = [
    "BRADLEY_TERRY",
    "COLUMN",
    "FUNCTION",
    "HTTP",
    "MODEL",
    "REWARDS",
    "VERIFIER",
    "Permission",
    "RewardRow",
    "asked",
    "part_metric",
    "part_names",
]


class Permission(Enum):
    """What a person must allow before a job may use a source, as a key of `[allow]` in `alignc.toml`."""

    FUNCTION = "functions"
    HOST = "hosts"


@dataclass(frozen=True)
class RewardRow:
    """A kind of source. `field` holds what a permission is asked for: a function's name or a URL."""

    name: str
    permission: Permission | None = None
    field: str = "name"
    model: str | None = None
    """The field that holds a model, which the job loads."""
    rewards: str | None = None
    """The field that holds the rewards from which an oracle follows."""
    reads_response: bool = True
    """Two responses to one prompt may get different rewards."""
    binary: bool = False
    """The reward is 0 or 1."""


VERIFIER = RewardRow("verifier", binary=True)
MODEL = RewardRow("model", model="path")
FUNCTION = RewardRow("function", Permission.FUNCTION)
HTTP = RewardRow("http", Permission.HOST, field="url")
COLUMN = RewardRow("column", reads_response=False)
BRADLEY_TERRY = RewardRow("bradley_terry", rewards="reward")
REWARDS: Mapping[str, RewardRow] = {
    row.name: row for row in (VERIFIER, MODEL, FUNCTION, HTTP, COLUMN, BRADLEY_TERRY)
}


def asked(source: Mapping[str, Any], permission: Permission) -> str | None:
    """Return the function or the URL that a source asks this permission for; None where it asks for none.

    Failure E806 for a kind that the table does not have.
    """
    row = look_up(REWARDS, source["kind"], "source of reward")
    return str(source[row.field]) if row.permission is permission else None


def part_names(sources: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the parts of a reward: by verifier, function or column, else by kind; the second `length` is `length#2`."""
    names: list[str] = []
    for source in sources:
        name = str(source.get("name") or source["kind"])
        count = sum(known.partition("#")[0] == name for known in names)
        names.append(f"{name}#{count + 1}" if count else name)
    return names


def part_metric(name: str) -> str:
    """Name the metric of a part of a reward: its mean before its weight."""
    return f"rewards/{name}/mean"

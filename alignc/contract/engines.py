"""The engines: what spreads a job over processes, a row each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

__all__ = ["ACCELERATE", "DEEPSPEED", "ENGINES", "EngineName", "EngineRow", "Group", "zero_stage"]

EngineName = Literal["accelerate", "deepspeed"]


class Group(Enum):
    """Whose call opens the process group of the ranks."""

    TORCH = "torch"
    DEEPSPEED = "deepspeed"


@dataclass(frozen=True)
class EngineRow:
    """An engine by its name in `launch.engine`.

    `distributed` is accelerate's `distributed_type` for one process and for several. `title` is how `plan` names one
    process and several; it may hold `{zero_stage}`. `environment` are variables that the launcher needs.
    """

    name: EngineName
    distributed: tuple[str, str]
    title: tuple[str, str]
    group: Group = Group.TORCH
    package: str | None = None
    """The package beside accelerate that the engine needs, by its row of the table of versions."""
    alone: bool = True
    """A single process starts without torch's agent, and needs no port for it."""
    shards: bool = False
    """`launch.zero_stage` says what it shards, and `launch.offload` where the optimizer's state is."""
    tools: tuple[str, ...] = ()
    """Programs that compile its operators, for the CPU and for an optimizer's state on the host."""
    narrows: bool = False
    """It trains a model in the type that the model computes in, and keeps wide weights of its own."""
    environment: Mapping[str, str] = field(default_factory=dict)


ACCELERATE = EngineRow("accelerate", ("NO", "MULTI_GPU"), ("one process", "DDP"))
DEEPSPEED = EngineRow(
    "deepspeed",
    ("DEEPSPEED", "DEEPSPEED"),
    ("DeepSpeed ZeRO {zero_stage}", "DeepSpeed ZeRO {zero_stage}"),
    group=Group.DEEPSPEED,
    package="deepspeed",
    alone=False,
    shards=True,
    tools=("g++", "ninja"),
    narrows=True,
    environment={"ACCELERATE_USE_DEEPSPEED": "true"},
)
ENGINES: Mapping[str, EngineRow] = {row.name: row for row in (ACCELERATE, DEEPSPEED)}


def zero_stage(engine: str, stage: int) -> int:
    """Give the stage of ZeRO that a job shards by; 0 where every process has all."""
    return stage if ENGINES[engine].shards else 0

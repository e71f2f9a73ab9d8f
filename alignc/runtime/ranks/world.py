"""The processes of a run: who this one is, on which device, and the few things they tell each other."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_never

import torch
import torch.distributed as dist

from ...contract.engines import ENGINES, Group
from ...contract.failure import Failure
from ...contract.job import Launch
from ...contract.tables import look_up
from ..base.packages import require

__all__ = ["World", "start"]


@dataclass(frozen=True)
class World:
    """This process among the others."""

    rank: int
    size: int
    device: torch.device

    @property
    def main(self) -> bool:
        """Whether this is rank 0, which writes files."""
        return self.rank == 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Add up a tensor over all ranks; every rank gets the sum."""
        if self.size > 1:
            values = values.to(self.device)
            dist.all_reduce(values)
        return values

    def agree(self, number: int) -> int:
        """Give every rank the largest of the ranks' numbers: one wish to stop is everyone's."""
        if self.size == 1:
            return number
        highest = torch.tensor(number, device=self.device)
        dist.all_reduce(highest, op=dist.ReduceOp.MAX)
        return int(highest)

    def gather(self, value: Any) -> list[Any]:
        """Collect a small value of every rank, in the order of the ranks."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Wait until every rank is here."""
        if self.size > 1:
            dist.barrier()


def start(launch: Launch) -> World:
    """Join the other processes as the launcher's environment says.

    Failure E605 where devices are missing, E602 or E614 where the engine's package is missing or too old, E806 for an
    engine that this runtime does not know.
    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device = pick_device(int(os.environ.get("LOCAL_RANK", "0")))
    backend = "nccl" if device.type == "cuda" else "gloo"
    # Twice the job's limit: the launcher names hung ranks before that; this limit is for a job without the launcher.
    timeout = timedelta(seconds=2 * launch.timeout + 60)
    engine = look_up(ENGINES, launch.engine, "engine")
    if engine.package is not None:
        require(engine.package)
    match engine.group:
        case Group.DEEPSPEED:
            import deepspeed

            deepspeed.init_distributed(
                dist_backend=backend, timeout=timeout, verbose=False, rank=rank, world_size=size
            )
        case Group.TORCH:
            if size > 1 and not dist.is_initialized():
                dist.init_process_group(backend, timeout=timeout)
        case _:
            assert_never(engine.group)
    return World(rank, size, device)


def pick_device(local_rank: int) -> torch.device:
    """Pick this process's GPU, or the CPU where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise Failure(
            "E605",
            f"process {local_rank} has no GPU: this machine has {torch.cuda.device_count()}",
            help="lower `launch.num_processes`",
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)

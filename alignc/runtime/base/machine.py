"""Say in lines of JSON what torch finds on this machine; run as a script, by `alignc doctor`."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

__all__ = ["devices", "gloo"]

PATIENCE = timedelta(seconds=10)


def devices() -> list[dict[str, Any]]:
    """List the GPUs that torch may use, with their memory in bytes."""
    return [device(number) for number in range(torch.cuda.device_count())]


def device(number: int) -> dict[str, Any]:
    """Describe a GPU."""
    with torch.cuda.device(number):
        free, whole = torch.cuda.mem_get_info()
        narrow = torch.cuda.is_bf16_supported(including_emulation=False)
        return {"name": torch.cuda.get_device_name(), "memory": whole, "free": free, "bf16": narrow}


def gloo() -> str:
    """Try the exchange between processes on CPUs, in a group of one; return the problem, empty if there is none."""
    try:
        store = dist.HashStore()  # type: ignore[attr-defined]
        dist.init_process_group("gloo", store=store, rank=0, world_size=1, timeout=PATIENCE)
        value = torch.ones(1)
        dist.all_reduce(value)
        dist.destroy_process_group()
    except Exception as problem:  # the kind of error depends on the machine's network
        return (str(problem).strip().splitlines() or [type(problem).__name__])[0]
    return "" if float(value) == 1 else f"a sum of 1 came to {float(value)}"


if __name__ == "__main__":
    print(json.dumps({"devices": devices(), "cuda": torch.version.cuda}), flush=True)
    print(json.dumps({"gloo": gloo()}), flush=True)

"""DeepSpeed ZeRO 1, 2 and 3 behind the engine interface, on GPUs or on CPU ranks over gloo.

Checkpoints are those of every engine: full weights and optimizer slots by name. DeepSpeed keeps both in flat
partitions; this module knows where a parameter's piece lies in them, and nothing else does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...contract.job import Job
from ..ranks.world import World
from .optim import build_optimizer

__all__ = ["ZeroEngine", "zero_config"]


def zero_config(job: Job, folder: Path, dtype: torch.dtype) -> dict[str, Any]:
    """Read the job's `deepspeed.json`; the numbers that the job also holds are the job's."""
    config: dict[str, Any] = json.loads((folder / "deepspeed.json").read_text(encoding="utf-8"))
    train, launch = job.spec.train, job.spec.launch
    config.pop("train_batch_size", None)
    config |= {
        "train_micro_batch_size_per_gpu": train.per_device_train_batch_size,
        "gradient_accumulation_steps": train.gradient_accumulation_steps,
        "gradient_clipping": train.max_grad_norm or 0.0,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 10**9,
    }
    stage = dict(config.get("zero_optimization") or {}) | {"stage": launch.zero_stage}
    if launch.offload:
        stage["offload_optimizer"] = {"device": launch.offload}
    config["zero_optimization"] = stage
    config["bf16"] = {"enabled": dtype is torch.bfloat16}
    return config


class ZeroEngine:
    """A model whose optimizer (1), gradients (2) and weights (3) DeepSpeed spreads over the ranks."""

    def __init__(self, job: Job, folder: Path, world: World, scorer: nn.Module, model: nn.Module) -> None:
        import deepspeed

        self.world, self.model, self.stage = world, model, job.spec.launch.zero_stage
        optimizer = build_optimizer(model.named_parameters(), job.spec.train)
        self.engine, self.zero, _, _ = deepspeed.initialize(
            model=scorer,
            model_parameters=[p for p in model.parameters() if p.requires_grad],
            optimizer=optimizer,
            config=zero_config(job, folder, next(model.parameters()).dtype),
        )
        self.scorer: nn.Module = self.engine

    def accumulate(self, *, last: bool) -> AbstractContextManager[Any]:
        """Tell DeepSpeed whether this micro-batch ends the step."""
        self.engine.set_gradient_accumulation_boundary(last)
        return nullcontext()

    def backward(self, share: Tensor, *, last: bool) -> None:
        """Back-propagate a share; DeepSpeed averages over ranks, which the factor undoes."""
        self.engine.backward(share * self.world.size, scale_wrt_gas=False)

    def gradient_norm(self) -> float:
        """Give the global gradient's norm, as DeepSpeed's own clipping computes it."""
        if self.stage < 3:
            return float(self.zero.scaled_global_norm())
        groups = [torch.as_tensor(norm) for norm in self.zero._get_norm_groups()]
        return float(torch.linalg.vector_norm(torch.stack(groups)))

    def step(self, learning_rate: float) -> None:
        """Let DeepSpeed clip and update."""
        for group in self.zero.param_groups:
            group["lr"] = learning_rate
        self.engine.step()

    def weights(self) -> dict[str, Tensor]:
        """Gather the full-precision weights on rank 0; tied weights stay one tensor.

        Weights that are not trained are an adapter's base, which no checkpoint holds: they are left out.
        """
        gathered: dict[int, Tensor] = {}
        for _, parameter in self.trained():
            whole = self.gather(parameter, {})
            gathered[id(parameter)] = whole if self.world.main else torch.empty(0)
        if not self.world.main:
            return {}
        parameters = dict(self.model.named_parameters(remove_duplicate=False))
        weights: dict[str, Tensor] = {}
        for name, value in self.model.state_dict(keep_vars=True).items():
            if name not in parameters:
                weights[name] = value.detach().cpu()
            elif id(parameters[name]) in gathered:
                weights[name] = gathered[id(parameters[name])]
        return weights

    def slots(self) -> dict[str, Tensor]:
        """Gather the optimizer's state by parameter name on rank 0."""
        slots: dict[str, Tensor] = {}
        state = self.zero.optimizer.state
        first: Mapping[str, Any] = next(iter(state.values()), {})
        for slot, value in first.items():
            for name, parameter in self.trained():
                if slot == "step":  # one number for all
                    whole = torch.as_tensor(value, dtype=torch.float32).cpu().clone()
                else:
                    whole = self.gather(parameter, {id(flat): held[slot] for flat, held in state.items()})
                if self.world.main:
                    slots[f"{name}/{slot}"] = whole
        return slots

    def restore(self, weights: Mapping[str, Tensor], slots: Mapping[str, Tensor]) -> None:
        """Copy every parameter's piece of the weights and slots into the flat partitions."""
        self.make_slots(slots)
        state = self.zero.optimizer.state
        for name, parameter in self.trained():
            self.scatter(parameter, weights[name], {})
        for key, value in slots.items():
            name, slot = key.rsplit("/", 1)
            if slot != "step":
                into = {id(flat): held[slot] for flat, held in state.items()}
                self.scatter(self.model.get_parameter(name), value, into)

    def make_slots(self, slots: Mapping[str, Tensor]) -> None:
        """Make the optimizer's state, which DeepSpeed makes at the first step only."""
        kinds = sorted({key.rsplit("/", 1)[1] for key in slots} - {"step"})
        steps = [value for key, value in slots.items() if key.endswith("/step")]
        for flat in self.flat_partitions():
            held: dict[str, Any] = {kind: torch.zeros_like(flat) for kind in kinds}
            if steps:
                held["step"] = steps[0].clone()
            if held:
                self.zero.optimizer.state[flat] = held

    def trained(self) -> list[tuple[str, nn.Parameter]]:
        """List the parameters that are trained."""
        return [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]

    def flat_partitions(self) -> list[Tensor]:
        """List this rank's flat full-precision partitions, one a parameter group."""
        flats = (
            self.zero.single_partition_of_fp32_groups
            if self.stage < 3
            else self.zero.fp32_partitioned_groups_flat
        )
        return list(flats)

    def gather(self, parameter: Any, instead: Mapping[int, Tensor]) -> Tensor:
        """Add up the ranks' pieces of a parameter, or of the slot that ``instead`` maps its partition to."""
        count = parameter.ds_numel if self.stage == 3 else parameter.numel()
        shape = parameter.ds_shape if self.stage == 3 else parameter.shape
        whole = torch.zeros(count, dtype=torch.float32, device=self.world.device)
        piece = self.piece(parameter, count)
        if piece is not None:
            flat, place, start, length = piece
            held = instead.get(id(flat), flat)
            whole[start : start + length] = held.detach().narrow(0, place, length)
        return self.world.sum(whole).view(shape).cpu()

    def scatter(self, parameter: Any, value: Tensor, instead: Mapping[int, Tensor]) -> None:
        """Copy this rank's piece of a value to where `gather` finds it."""
        piece = self.piece(parameter, value.numel())
        if piece is not None:
            flat, place, start, length = piece
            held = instead.get(id(flat), flat)
            held.data.narrow(0, place, length).copy_(value.flatten().narrow(0, start, length))

    def piece(self, parameter: Any, count: int) -> tuple[Tensor, int, int, int] | None:
        """Find this rank's piece of a parameter: (flat partition, place in it, start in the parameter, length).

        DeepSpeed's own `safe_get_full_optimizer_state` misses all but the first parameter group (0.19.8).
        """
        flats = self.flat_partitions()
        # Two ranks, a parameter of 10 numbers. Stage 3 cuts each parameter into equal parts, ceil(10 / 2) = 5:
        #   rank 0 holds numbers 0–4 (start 0, length 5), rank 1 holds 5–9 (start 5, length 5).
        # Of 9 numbers rank 1 has 5–8 and one place of padding: length = min(5, 9 − 5) = 4.
        # Stages 1 and 2 cut the concatenation of all parameters instead: a parameter may lie on one rank alone, or
        # across the cut. If it begins 3 numbers before the cut, rank 0 has (place of its end − 3, start 0, length 3)
        # and rank 1 has (place 0, start 3, length 7). `hp_fragment_address` is the place in the flat partition in
        # full precision, `lp_fragment_address` the place within the parameter.
        if self.stage == 3:
            group, place, length = self.zero.grad_position[self.zero.get_param_id(parameter)]
            start = math.ceil(count / self.world.size) * self.world.rank
            length = min(length, count - start)  # the last rank's partition is padded
            return (flats[group], place, start, length) if length > 0 else None
        mapping = parameter._hp_mapping
        if mapping is None:  # no part of it lies on this rank
            return None
        here, there = mapping.hp_fragment_address, mapping.lp_fragment_address
        return flats[mapping.param_group_index], here.start, there.start, here.numel

    def close(self) -> None:
        """End DeepSpeed's engine and the process group; without it rank 0 sometimes aborts at exit."""
        self.engine.destroy()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()

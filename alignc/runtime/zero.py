"""DeepSpeed ZeRO 1, 2 and 3 behind the engine interface, on GPUs or on CPU ranks over gloo.

Checkpoints are those of every engine: full weights and optimizer slots by name. DeepSpeed keeps both in flat
partitions; this module knows where a parameter's piece lies in them, and nothing else does.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .job import Job
from .optim import build_optimizer
from .world import World

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
        """Gather the full-precision weights on rank 0; tied weights stay one tensor."""
        from deepspeed.utils import safe_get_full_fp32_param

        seen: dict[int, Tensor] = {}
        found: dict[str, Tensor] = {}
        parameters = dict(self.model.named_parameters(remove_duplicate=False))
        for name, value in self.model.state_dict(keep_vars=True).items():
            parameter = parameters.get(name)
            if parameter is None:
                found[name] = value.detach().cpu()
            elif id(parameter) not in seen:
                whole = (
                    safe_get_full_fp32_param(parameter) if parameter.requires_grad else self.frozen(parameter)
                )
                seen[id(parameter)] = whole.detach().cpu() if self.world.main else torch.empty(0)
            if parameter is not None:
                found[name] = seen[id(parameter)]
        return found if self.world.main else {}

    def frozen(self, parameter: nn.Parameter) -> Tensor:
        """Gather a weight that is not trained."""
        from deepspeed.zero import GatheredParameters

        with GatheredParameters([parameter], enabled=self.stage == 3):
            return parameter.detach().clone()

    def slots(self) -> dict[str, Tensor]:
        """Gather the optimizer's state by parameter name on rank 0."""
        from deepspeed.utils import safe_get_full_optimizer_state

        found: dict[str, Tensor] = {}
        names = [(n, p) for n, p in self.model.named_parameters() if p.requires_grad]
        for slot, value in self.first_state().items():
            for name, parameter in names:
                if slot == "step":
                    found[f"{name}/step"] = torch.as_tensor(value, dtype=torch.float32).cpu().clone()
                else:
                    whole = safe_get_full_optimizer_state(parameter, slot)
                    found[f"{name}/{slot}"] = whole.detach().cpu() if self.world.main else torch.empty(0)
        return found if self.world.main else {}

    def first_state(self) -> Mapping[str, Any]:
        """Give the optimizer's state of one flat partition: which slots there are, and the step."""
        state: Mapping[Tensor, Mapping[str, Any]] = self.zero.optimizer.state
        return next(iter(state.values()), {})

    def flat_partitions(self) -> list[Tensor]:
        """List this rank's flat full-precision partitions, one a parameter group."""
        flats = (
            self.zero.single_partition_of_fp32_groups
            if self.stage < 3
            else self.zero.fp32_partitioned_groups_flat
        )
        return list(flats)

    def restore(self, weights: Mapping[str, Tensor], slots: Mapping[str, Tensor]) -> None:
        """Copy every parameter's piece of the weights and slots into the flat partitions."""
        self.make_slots(slots)
        flats, state = self.flat_partitions(), self.zero.optimizer.state
        for name, parameter in self.model.named_parameters():
            if not parameter.requires_grad:
                continue
            for flat, start, piece in self.pieces(parameter, weights[name], flats):
                flat.data.narrow(0, start, piece.numel()).copy_(piece)
            for slot in (key for key in self.first_state() if key != "step"):
                for flat, start, piece in self.pieces(parameter, slots[f"{name}/{slot}"], flats):
                    state[flat][slot].narrow(0, start, piece.numel()).copy_(piece)

    def make_slots(self, slots: Mapping[str, Tensor]) -> None:
        """Make the optimizer's state, which DeepSpeed makes at the first step only."""
        kinds = {key.rsplit("/", 1)[1] for key in slots}
        steps = [value for key, value in slots.items() if key.endswith("/step")]
        for flat in self.flat_partitions():
            fresh: dict[str, Any] = {kind: torch.zeros_like(flat) for kind in sorted(kinds - {"step"})}
            self.zero.optimizer.state[flat] = ({"step": steps[0].clone()} if steps else {}) | fresh

    def pieces(
        self, parameter: Any, value: Tensor, flats: list[Tensor]
    ) -> Iterator[tuple[Tensor, int, Tensor]]:
        """Give this rank's piece of a parameter-shaped value: (flat partition, start in it, piece)."""
        whole = value.flatten().float()
        if self.stage == 3:
            group, start, count = self.zero.grad_position[self.zero.get_param_id(parameter)]
            begin = math.ceil(whole.numel() / self.world.size) * self.world.rank
            yield flats[group], start, whole[begin : begin + count].to(flats[group].device)
        elif parameter._hp_mapping is not None:  # None: no part of it lies on this rank
            place, source = (
                parameter._hp_mapping.hp_fragment_address,
                parameter._hp_mapping.lp_fragment_address,
            )
            flat = flats[parameter._hp_mapping.param_group_index]
            yield flat, place.start, whole.narrow(0, source.start, source.numel).to(flat.device)

    def close(self) -> None:
        """End DeepSpeed's engine and the process group; without it rank 0 sometimes aborts at exit."""
        self.engine.destroy()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()

"""AdamW on bfloat16 weights alone: the update is rounded up or down at random, so that small steps are not lost.

A bfloat16 number has 8 significant bits. Around 0.02 its neighbours are 1.2e-4 apart, and a step of 1e-6 rounded to the
nearest number is no step. Rounded at random it moves the weight to the neighbour in 1e-6/1.2e-4 = 0.8 % of all cases,
which is the same step on average.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..base.seeds import derive

__all__ = ["StochasticAdamW", "rounded_at_random"]

LOW_BITS = 1 << 16
"""The lower half of a float32's bits: what bfloat16 leaves out."""


class StochasticAdamW(torch.optim.Optimizer):
    """AdamW whose weights and moments are bfloat16 (2 + 4 bytes a weight); the arithmetic is float32.

    The random bits depend on the seed, the step and the weight's place alone: a resumed run draws the same ones, and
    so does every rank.
    """

    def __init__(
        self,
        params: Any,
        *,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        seed: int,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})
        self.seed = seed

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update every weight that has a gradient."""
        place = 0
        for group in self.param_groups:
            for weight in group["params"]:
                place += 1
                if weight.grad is not None:
                    self.update(weight, group, place)

    def update(self, weight: Tensor, group: dict[str, Any], place: int) -> None:
        """Update one weight: torch's AdamW in float32, then rounding at random."""
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(weight)
            state["exp_avg_sq"] = torch.zeros_like(weight)
        state["step"] += 1
        step, (beta1, beta2) = int(state["step"]), group["betas"]
        gradient = weight.grad.float()  # type: ignore[union-attr]
        mean = state["exp_avg"].float().lerp_(gradient, 1 - beta1)
        square = state["exp_avg_sq"].float().mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        moved = weight.float().mul_(1 - group["lr"] * group["weight_decay"])
        scale = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
        moved.addcdiv_(mean, scale, value=-group["lr"] / (1 - beta1**step))
        bits = torch.Generator(weight.device).manual_seed(derive(self.seed, step, place))
        # The moments are rounded at random too: a second moment that decays by 0.001 of itself would never fall.
        for target, value in ((weight, moved), (state["exp_avg"], mean), (state["exp_avg_sq"], square)):
            target.copy_(rounded_at_random(value, bits) if target.dtype is torch.bfloat16 else value)


def rounded_at_random(value: Tensor, generator: torch.Generator) -> Tensor:
    """Round float32 to one of the two bfloat16 neighbours, the nearer one more often: right on average."""
    drawn = torch.randint(LOW_BITS, value.shape, dtype=torch.int32, device=value.device, generator=generator)
    bits = (value.contiguous().view(torch.int32) + drawn) & -LOW_BITS
    return bits.view(torch.float32).to(torch.bfloat16)

"""Advantages of a rollout: from rewards, penalties and values to one number a token, in float64.

A response has n tokens. Token t is paid R_t = −penalty_t, the last one the response's reward as well. With V_t the
value of the state before token t, 0 after the last one, γ the discount and λ that of GAE:

    G_t = R_t + γ·G_{t+1}                                 reward to go
    δ_t = R_t + γ·V_{t+1} − V_t,  A_t = δ_t + γλ·A_{t+1}   GAE, and then G_t = A_t + V_t

Without a critic A_t = G_t − b. A baseline b that reads other responses takes each by its total, the return of its first
token. Places without a token hold 0, count nowhere and change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ...contract.baselines import (
    BASELINES,
    BATCH_MEAN,
    CONSTANT,
    GROUP_MEAN,
    LEAVE_ONE_OUT,
    NO_BASELINE,
    OTHER,
    Reads,
)
from ...contract.needs import Advantage, Baseline
from ...contract.tables import look_up
from ..ranks.world import World

__all__ = ["advantages", "gae", "reward_to_go", "token_rewards", "whitened"]


def advantages(
    wanted: Advantage,
    *,
    reward: Tensor,
    penalty: Tensor | None,
    value: Tensor | None,
    mask: Tensor,
    world: World | None = None,
) -> dict[str, Tensor]:
    """Compute `advantage` and `return` of every token, ``[rows, k, T]`` float64, 0 where there is none.

    ``reward`` is ``[rows, k]``, ``penalty`` and ``value`` are ``[rows, k, T]`` (a sequence's penalty ``[rows, k]``),
    ``mask`` ``[rows, k, T]`` marks the tokens, ``wanted`` says how. With a ``world`` the rows are
    this rank's, and whitening and the batch's mean run over those of all ranks. Returns are never whitened.
    """
    mask = mask.bool()
    rewards = token_rewards(reward, penalty, mask)
    if look_up(BASELINES, wanted.baseline.kind, "baseline").reads is Reads.CRITIC:
        if value is None:
            raise ValueError("the baseline `value` needs the critic's values")
        value = value.double() * mask
        advantage = gae(rewards, value, mask, wanted.discount, wanted.gae_lambda)
        returns = advantage + value
    else:
        returns = reward_to_go(rewards, mask, wanted.discount)
        advantage = minus_baseline(wanted.baseline, returns, mask, world)
    return {"advantage": whitened(advantage, mask, world) if wanted.whiten else advantage, "return": returns}


def token_rewards(reward: Tensor, penalty: Tensor | None, mask: Tensor) -> Tensor:
    """Pay each response's last token its reward, and take off the penalty: per token, or a sequence's at its end."""
    ends = mask & ~torch.nn.functional.pad(mask[..., 1:], (0, 1))
    paid = reward.double()
    if penalty is not None and penalty.dim() == 2:
        paid = paid - penalty.double()
    rewards = torch.where(ends, paid[..., None], 0.0)
    return (
        rewards - torch.where(mask, penalty.double(), 0.0)
        if penalty is not None and penalty.dim() == 3
        else rewards
    )


def reward_to_go(rewards: Tensor, mask: Tensor, discount: float) -> Tensor:
    """Sum the rewards of a token and of those after it: G_t = R_t + γ·G_{t+1}."""
    return running(rewards * mask, discount)


def gae(rewards: Tensor, values: Tensor, mask: Tensor, discount: float, decay: float) -> Tensor:
    """Compute generalized advantage estimates (Schulman et al. 2016, eq. 16), cut at each response's last token."""
    values = values * mask
    later = torch.nn.functional.pad(values[..., 1:], (0, 1))
    return running((rewards + discount * later - values) * mask, discount * decay)


def running(values: Tensor, decay: float) -> Tensor:
    """Sum from the end: x_t = v_t + decay·x_{t+1}."""
    sums = values.clone()
    for t in range(values.shape[-1] - 2, -1, -1):
        sums[..., t] += decay * sums[..., t + 1]
    return sums


def minus_baseline(baseline: Baseline, returns: Tensor, mask: Tensor, world: World | None) -> Tensor:
    """Take a baseline off the returns, and divide by the group's deviation where it is asked for."""
    totals, present, settings = returns[..., 0], mask[..., 0], baseline.settings
    level = look_up(LEVELS, baseline.kind, "baseline")(totals, present, settings, world)
    centered = torch.where(mask, returns - level[..., None], 0.0)
    if not settings.get("std"):
        return centered
    scale = inverse_deviation(totals, present, settings.get("ddof", 1), settings.get("epsilon", 0.0))
    return centered * scale[..., None]


def mean_of_group(totals: Tensor, present: Tensor) -> Tensor:
    """Average the totals of a prompt's responses ``[rows, k]``."""
    whole, count = (totals * present).sum(-1, keepdim=True), present.sum(-1, keepdim=True)
    return (whole / count.clamp(min=1)).expand_as(totals)


def mean_of_others(totals: Tensor, present: Tensor) -> Tensor:
    """Average the totals of a prompt's other responses ``[rows, k]``; 0 where there is no other."""
    count = present.sum(-1, keepdim=True)
    # Summed without the one that is left out: what is equal stays so to the last bit.
    others = totals[..., None, :] * (
        present[..., None, :] & ~torch.eye(totals.shape[-1], dtype=torch.bool, device=totals.device)
    )
    return others.sum(-1) / (count - 1).clamp(min=1)


Level = Callable[[Tensor, Tensor, Mapping[str, Any], World | None], Tensor]
LEVELS: Mapping[str, Level] = {
    NO_BASELINE.name: lambda totals, present, fields, world: torch.zeros_like(totals),
    CONSTANT.name: lambda totals, present, fields, world: torch.full_like(totals, float(fields["value"])),
    BATCH_MEAN.name: lambda totals, present, fields, world: mean_of(totals, present, world).expand_as(totals),
    LEAVE_ONE_OUT.name: lambda totals, present, fields, world: mean_of_others(totals, present),
    OTHER.name: lambda totals, present, fields, world: mean_of_others(totals, present),
    GROUP_MEAN.name: lambda totals, present, fields, world: mean_of_group(totals, present),
}
"""The levels that the totals of responses ``[rows, k]`` are compared with, by baseline; `present` marks responses."""


def inverse_deviation(totals: Tensor, present: Tensor, ddof: int, epsilon: float) -> Tensor:
    """Give 1/(σ + ε) of each group ``[rows, 1]``; 0 where all totals are equal: such a group says nothing."""
    count = present.sum(-1, keepdim=True)
    mean = (totals * present).sum(-1, keepdim=True) / count.clamp(min=1)
    squares = ((totals - mean).square() * present).sum(-1, keepdim=True)
    deviation = (squares / (count - ddof).clamp(min=1)).sqrt()
    lowest = totals.masked_fill(~present, float("inf")).amin(-1, keepdim=True)
    highest = totals.masked_fill(~present, float("-inf")).amax(-1, keepdim=True)
    return torch.where(highest > lowest, 1 / (deviation + epsilon), 0.0)


def whitened(values: Tensor, mask: Tensor, world: World | None = None) -> Tensor:
    """Shift and scale all tokens to mean 0 and variance 1: (x − mean)·rsqrt(var + 1e-8), with the unbiased variance.

    As TRL's `masked_whiten` and Huang et al. 2024 (the N+ implementation details of RLHF with PPO) have it: every token
    counts once, over all responses of all ranks. A single token becomes 0.
    """
    centered = torch.where(mask, values - mean_of(values, mask, world), 0.0)
    squares, count = sums([centered.square().sum(), mask.sum()], world)
    variance = squares / (count - 1).clamp(min=1)
    return centered * torch.rsqrt(variance + 1e-8)


def mean_of(values: Tensor, mask: Tensor, world: World | None) -> Tensor:
    """Average the marked values, over all ranks."""
    total, count = sums([torch.where(mask, values, 0.0).sum(), mask.sum()], world)
    return total / count.clamp(min=1)


def sums(values: list[Tensor], world: World | None) -> Tensor:
    """Add up numbers over the ranks, in float64."""
    whole = torch.stack([value.double() for value in values])
    return whole if world is None else world.sum(whole).to(whole.device)

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import get_scheduler

from alignc.contract.job import Train
from alignc.contract.optimizers import OPTIMIZERS
from alignc.runtime.engines.engine import SingleEngine
from alignc.runtime.engines.optim import (
    build_optimizer,
    clip_factor,
    decay_groups,
    learning_rate,
    warmup_steps,
)
from alignc.runtime.engines.stochastic import rounded_at_random

from .fixtures import train_section

TRAIN = Train(**train_section(learning_rate=0.5, warmup_steps=3))


@pytest.mark.parametrize("kind", ["linear", "cosine", "constant", "constant_with_warmup", "inverse_sqrt"])
@pytest.mark.parametrize("warmup", [0, 3])
def test_schedules_are_those_of_transformers(kind: str, warmup: int):
    train = dataclasses.replace(TRAIN, lr_scheduler_type=kind, warmup_steps=warmup)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    schedule = get_scheduler(kind, optimizer, num_warmup_steps=warmup, num_training_steps=10)
    for step in range(1, 11):
        assert learning_rate(train, step, 10) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        schedule.step()


def test_warmup_below_one_is_a_share():
    assert warmup_steps(dataclasses.replace(TRAIN, warmup_steps=0.1), 95) == 10
    assert warmup_steps(TRAIN, 95) == 3


def test_matrices_decay_and_vectors_do_not():
    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    model[0].weight.requires_grad_(True)
    groups = decay_groups(model.named_parameters(), 0.1)
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(1, 0.1), (3, 0.0)]


@pytest.mark.parametrize("name", ["adamw_torch_fused", "adamw_torch", "sgd", "rmsprop"])
def test_each_optimizer_steps_downhill(name: str):
    weight = nn.Parameter(torch.tensor([[1.0]]))
    optimizer = build_optimizer([("w", weight)], dataclasses.replace(TRAIN, optim=name, learning_rate=0.1))
    (weight**2).sum().backward()
    optimizer.step()
    assert weight.item() < 1.0


def test_clip_factor():
    assert clip_factor(0.5, 1.0) == 1.0
    assert clip_factor(4.0, 1.0) == pytest.approx(0.25, abs=1e-6)
    assert clip_factor(4.0, 0.0) == 1.0
    assert clip_factor(4.0, None) == 1.0


NAMES = list(OPTIMIZERS)


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(80, 64), nn.Tanh(), nn.Linear(64, 3)).to(dtype)


def learned(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> list[float]:
    losses = []
    for step in steps:
        rows = torch.randn(32, 80, generator=torch.Generator().manual_seed(step))
        loss = (model(rows.to(next(model.parameters()).dtype)).float() - rows[:, :3]).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(float(loss.detach()))
    return losses


def dtype_of(name: str) -> torch.dtype:
    return torch.float32 if OPTIMIZERS[name].wide else torch.bfloat16


@pytest.mark.parametrize("name", NAMES)
def test_each_optimizer_learns_and_goes_on_bit_for_bit(name: str):
    """State by parameter name, as a checkpoint keeps it, is all that an optimizer needs."""
    train = dataclasses.replace(TRAIN, optim=name, learning_rate=0.1 if name == "sgd" else 0.01)
    job = SimpleNamespace(spec=SimpleNamespace(train=train))
    world = SimpleNamespace(device=torch.device("cpu"), size=1)
    whole = network(dtype_of(name))
    engine = SingleEngine(job, world, whole, whole)  # type: ignore[arg-type]
    losses = learned(whole, engine.optimizer, range(20))
    saved = (
        {k: v.clone() for k, v in engine.weights().items()},
        {k: v.clone() for k, v in engine.slots().items()},
    )
    losses += learned(whole, engine.optimizer, range(20, 40))
    assert losses[-1] < losses[0] * 0.9

    again = network(dtype_of(name))
    resumed = SingleEngine(job, world, again, again)  # type: ignore[arg-type]
    resumed.restore(*saved)
    assert learned(again, resumed.optimizer, range(20, 40)) == losses[20:]
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_the_table_counts_the_bytes_of_the_state(name: str):
    model = network(dtype_of(name))
    optimizer = build_optimizer(model.named_parameters(), dataclasses.replace(TRAIN, optim=name))
    learned(model, optimizer, range(1))
    held = [t for p in model.parameters() for k, t in optimizer.state[p].items() if torch.is_tensor(t)]
    number = sum(p.numel() for p in model.parameters())
    row = OPTIMIZERS[name]
    most = row.state_bytes * number + 4 * len(list(model.parameters())) * row.counter
    small = (
        2 * 4 * (1024 + 3 * 64 + 64 + 3)
    )  # bitsandbytes: tables of 256 values, and small tensors in 32 bits
    assert sum(t.nbytes for t in held) <= most + (small if name == "adamw_bnb_8bit" else 0)


def test_rounding_at_random_is_right_on_average_and_reaches_neighbours_alone():
    value = torch.full((200_000,), 0.02 + 3e-5)
    rounded = rounded_at_random(value, torch.Generator().manual_seed(1)).float()
    low, high = sorted(rounded.unique().tolist())
    assert high - low == 2**-13  # numbers from 2^-6 to 2^-5 have 8 bits
    share = (rounded == high).double().mean().item()
    wanted = (float(value[0]) - low) / (high - low)
    assert share == pytest.approx(wanted, abs=4 * (0.25 / value.numel()) ** 0.5)


def test_steps_of_1e_6_move_bfloat16_weights_on_average_as_they_move_float32():
    start = torch.full((4096,), 0.02).to(torch.bfloat16)
    moved = {}
    for name, dtype in (("adamw_bf16_stochastic", torch.bfloat16), ("adamw_torch", torch.float32)):
        weight = nn.Parameter(start.to(dtype, copy=True))
        train = dataclasses.replace(TRAIN, optim=name, learning_rate=1e-6, weight_decay=0.0)
        optimizer = build_optimizer([("w", weight)], train)
        for _ in range(50):
            weight.grad = torch.ones_like(weight)
            optimizer.step()
        moved[name] = (weight.float() - start.float()).mean().item()
    assert moved["adamw_torch"] == pytest.approx(-5e-5, rel=1e-3)
    assert moved["adamw_bf16_stochastic"] == pytest.approx(moved["adamw_torch"], rel=0.1)

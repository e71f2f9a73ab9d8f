from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn
from transformers import get_scheduler

from alignc.contract.job import Train
from alignc.runtime.engines.optim import (
    build_optimizer,
    clip_factor,
    decay_groups,
    learning_rate,
    warmup_steps,
)

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

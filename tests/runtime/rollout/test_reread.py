"""Sampling without a cache: the tokens of a plain loop, also of models whose state is recurrent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from transformers import MambaConfig, MambaForCausalLM

from alignc.contract.failure import Failure
from alignc.runtime.samplers.padded import left_padded
from alignc.runtime.samplers.sample import sample
from alignc.runtime.samplers.sampling import Sampling

from .models import WORDS, build, next_logits, prompts_of

PROMPTS = prompts_of(3, 1, 5, 2)
GREEDY = Sampling(completions=1, max_new_tokens=6, temperature=0.0, top_p=1.0, eos_ids=(), pad_id=0)


def model_of(name: str) -> Any:
    if name != "mamba":
        return build(name)
    torch.manual_seed(0)
    config = MambaConfig(
        vocab_size=WORDS, hidden_size=16, num_hidden_layers=2, state_size=4, initializer_range=0.5
    )
    return MambaForCausalLM(config).eval()


def one_by_one(model: Any, prompt: Sequence[int]) -> list[int]:
    ids = list(map(int, prompt))
    for _ in range(GREEDY.max_new_tokens):
        ids.append(int(next_logits(model, ids).argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("name", ["mamba", "llama"])
@pytest.mark.parametrize("size", [1, 3])
def test_reading_anew_is_the_plain_loop(name: str, size: int):
    model = model_of(name)
    found = sample(model, PROMPTS, [0] * 4, GREEDY, seed=0, batch_size=size, each=lambda: None, cached=False)
    assert [group[0].tolist() for group in found] == [one_by_one(model, prompt) for prompt in PROMPTS]


def test_responses_that_ended_leave_the_batch():
    model = model_of("mamba")
    free = [one_by_one(model, prompt) for prompt in PROMPTS]
    ends = (free[0][1], free[2][3])
    sampling = Sampling(2, 6, 0.0, 1.0, ends, 0)
    found = sample(model, PROMPTS, [0] * 4, sampling, seed=0, batch_size=8, each=lambda: None, cached=False)
    cut = [next((at + 1 for at, token in enumerate(ids) if token in ends), len(ids)) for ids in free]
    assert [[ids.tolist() for ids in group] for group in found] == [
        [ids[:end]] * 2 for ids, end in zip(free, cut, strict=True)
    ]


def test_a_rollout_needs_a_cache():
    with pytest.raises(Failure, match="E607"):
        sample(model_of("mamba"), PROMPTS, [0] * 4, GREEDY, seed=0, batch_size=1, each=lambda: None)


def test_left_padding():
    ids, mask = left_padded([np.array([1, 2]), [3]], 0, torch.device("cpu"))
    assert ids.tolist() == [[1, 2], [0, 3]]
    assert mask.tolist() == [[1, 1], [0, 1]]

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import ByT5Tokenizer, LlamaConfig, LlamaForCausalLM

from alignc.runtime.kernels.attention import use_packed
from alignc.runtime.samplers.generate import generate, generate_ids, left_padded

PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12, 13], [5, 6]]


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=384,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config).eval()


def one_by_one(model: nn.Module, prompt: list[int], count: int, eos: int) -> list[int]:
    """Greedy decoding without cache, batch or padding."""
    ids = list(prompt)
    for _ in range(count):
        with torch.no_grad():
            token = int(model(torch.tensor([ids])).logits[0, -1].argmax())
        if token == eos:
            break
        ids.append(token)
    return ids[len(prompt) :]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("size", [1, 3])
def test_greedy_is_the_plain_loop(model: LlamaForCausalLM, size: int, packed: bool):
    if packed:
        use_packed(model)
    expected = [one_by_one(model, prompt, 6, eos=1) for prompt in PROMPTS]
    found = generate_ids(model, PROMPTS, eos_id=1, pad_id=0, max_new_tokens=6, batch_size=size)
    assert found == expected


def test_answers_end_before_eos(model: LlamaForCausalLM):
    free = one_by_one(model, PROMPTS[0], 6, eos=-1)
    found = generate_ids(model, PROMPTS[:1], eos_id=free[2], pad_id=0, max_new_tokens=6)
    assert found == [free[:2]]


def test_draws_depend_on_the_seed_alone(model: LlamaForCausalLM):
    def draw(seed: int) -> list[list[int]]:
        torch.manual_seed(torch.seed() % 1000)
        return generate_ids(model, PROMPTS, eos_id=1, pad_id=0, max_new_tokens=8, temperature=1.0, seed=seed)

    assert draw(1) == draw(1) != draw(2)


def test_texts_are_continued_by_tokens(model: LlamaForCausalLM):
    found = generate(model, ByT5Tokenizer(), ["1+1=", "2"], max_new_tokens=4)
    assert len(found) == 2
    ids = [byte + 3 for byte in b"1+1="]
    assert found[0] == one_by_one(model, ids, 4, eos=1)


def test_left_padding():
    ids, mask = left_padded([[1, 2], [3]], 0, torch.device("cpu"))
    assert ids.tolist() == [[1, 2], [0, 3]]
    assert mask.tolist() == [[1, 1], [0, 1]]

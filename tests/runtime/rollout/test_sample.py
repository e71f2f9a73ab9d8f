from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from alignc.contract.failure import Failure
from alignc.runtime.data.example import Example
from alignc.runtime.kernels.attention import takes_packed, use_packed
from alignc.runtime.samplers.sample import drawn, sample
from alignc.runtime.samplers.sampling import Sampling
from alignc.runtime.scoring.layout import pack, pad
from alignc.runtime.scoring.scorer import Scorer

from .models import NAMES, WORDS, build, next_logits, prompts_of

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"  # peft asks transformers for it
)

FREE = Sampling(completions=3, max_new_tokens=9, temperature=1.0, top_p=1.0, eos_ids=(), pad_id=0)
PROMPTS = prompts_of(7, 3, 12, 3, 1)
KEYS = [5, 6, 7, 8, 9]


def nothing() -> None:
    """Count no step."""


def tokens_of(
    model: nn.Module,
    sampling: Sampling = FREE,
    *,
    prompts: Sequence[Any] = PROMPTS,
    keys: Sequence[int] = KEYS,
    seed: int = 1,
    batch_size: int = 6,
) -> list[tuple[tuple[int, ...], ...]]:
    groups = sample(model, prompts, keys, sampling, seed=seed, batch_size=batch_size, each=nothing)
    return [tuple(tuple(response.tolist()) for response in group) for group in groups]


def greedy(model: nn.Module, prompt: Any, count: int) -> tuple[int, ...]:
    ids = prompt.tolist()
    for _ in range(count):
        ids.append(int(next_logits(model, ids).argmax()))
    return tuple(ids[len(prompt) :])


@pytest.fixture(scope="module")
def llama() -> Any:
    return build("llama")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_the_scorer_gives_the_log_probabilities_that_tokens_were_drawn_with(name: str, packed: bool):
    model = build(name)
    assert takes_packed(model)
    if packed:
        use_packed(model)
    scorer = Scorer(model)
    groups = drawn(model, PROMPTS, KEYS, replace(FREE, eos_ids=(4, 5)), seed=2, batch_size=9, each=nothing)
    examples = [
        Example(row, "", prompt, tuple(response.tokens for response in group))
        for row, (prompt, group) in enumerate(zip(PROMPTS, groups, strict=True))
    ]
    with torch.no_grad():
        scored = scorer(pack(examples) if packed else pad(examples))
    assert len({len(response.tokens) for group in groups for response in group}) > 2
    for row, group in enumerate(groups):
        for number, response in enumerate(group):
            ours = torch.from_numpy(response.logps).float()
            torch.testing.assert_close(scored[row, number, : len(ours)], ours, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_temperature_zero_is_the_plain_greedy_loop(name: str):
    model = build(name)
    found = tokens_of(model, replace(FREE, temperature=0.0, completions=2))
    assert found == [(greedy(model, prompt, 9),) * 2 for prompt in PROMPTS]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 1.0), (1.0, 0.7), (1.7, 0.9)])
def test_two_tokens_follow_the_exact_law(llama: Any, temperature: float, top_p: float):
    """Chi-square of 20000 responses against probabilities worked out one text at a time."""
    prompt, count = PROMPTS[1], 20000
    sampling = replace(FREE, max_new_tokens=2, completions=2000, temperature=temperature, top_p=top_p)
    found = tokens_of(llama, sampling, prompts=[prompt] * 10, keys=range(10), batch_size=2000)
    seen = Counter(response for group in found for response in group)
    first = law_of(llama, prompt.tolist(), temperature, top_p)
    exact = {
        (a, b): share * p
        for a, share in first.items()
        for b, p in law_of(llama, [*prompt.tolist(), a], temperature, top_p).items()
    }
    assert set(seen) <= set(exact)
    common = {pair: share for pair, share in exact.items() if share * count >= 8}
    rare = 1 - sum(common.values())
    cells = [(seen[pair], share * count) for pair, share in common.items()]
    if rare * count >= 5:
        cells.append((count - sum(seen[pair] for pair in common), rare * count))
    degrees = len(cells) - 1
    square = sum((observed - expected) ** 2 / expected for observed, expected in cells)
    assert degrees >= 8
    assert abs(square - degrees) < 3.3 * (2 * degrees) ** 0.5


def law_of(model: nn.Module, ids: Sequence[int], temperature: float, top_p: float) -> dict[int, float]:
    """The distribution as its definition has it: sort, add up, cut, divide."""
    shares = (next_logits(model, ids) / temperature).softmax(0).tolist()
    kept: dict[int, float] = {}
    for word in sorted(range(len(shares)), key=lambda word: -shares[word]):
        if sum(kept.values()) < top_p:
            kept[word] = shares[word]
    total = sum(kept.values())
    return {word: share / total for word, share in kept.items()}


def test_log_probabilities_are_those_of_the_tempered_and_cut_law(llama: Any):
    sampling = replace(FREE, max_new_tokens=1, temperature=0.7, top_p=0.8, completions=40)
    (group,) = drawn(llama, PROMPTS[:1], [3], sampling, seed=0, batch_size=40, each=nothing)
    exact = law_of(llama, PROMPTS[0].tolist(), 0.7, 0.8)
    for response in group:
        assert np.exp(response.logps[0]) == pytest.approx(exact[int(response.tokens[0])], rel=1e-5)


@pytest.mark.parametrize("name", ["llama", "mistral"])
def test_neither_batch_nor_order_changes_a_draw(name: str):
    model = build(name)
    sampling = replace(FREE, eos_ids=(4, 5, 6))
    whole = tokens_of(model, sampling, batch_size=64)
    assert {len(response) for group in whole for response in group} > {1, 9}
    assert tokens_of(model, sampling, batch_size=1) == whole
    turned = tokens_of(model, sampling, prompts=PROMPTS[::-1], keys=KEYS[::-1], batch_size=7)
    assert turned[::-1] == whole
    assert tokens_of(model, sampling, prompts=PROMPTS[2:3], keys=KEYS[2:3]) == whole[2:3]


def test_fewer_samples_and_fewer_tokens_are_a_beginning_of_more(llama: Any):
    whole = tokens_of(llama)
    assert tokens_of(llama, replace(FREE, completions=2)) == [group[:2] for group in whole]
    short = [tuple(response[:4] for response in group) for group in whole]
    assert tokens_of(llama, replace(FREE, max_new_tokens=4)) == short


def test_seed_key_and_number_of_the_sample_each_change_a_draw(llama: Any):
    whole = tokens_of(llama)
    assert all(len(set(group)) == 3 for group in whole)
    assert not set(whole) & set(tokens_of(llama, seed=2))
    assert not set(whole) & set(tokens_of(llama, keys=[15, 16, 17, 18, 19]))
    same = tokens_of(llama, prompts=[PROMPTS[0]] * 2, keys=[1, 2])
    assert not set(same[0]) & set(same[1])


def test_no_global_state_is_read_or_moved(llama: Any):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = tokens_of(llama)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    assert tokens_of(llama) == first


def test_a_response_ends_with_its_first_eos(llama: Any):
    free = tokens_of(llama, replace(FREE, completions=8))
    ends = (free[0][0][0], free[2][3][5])
    found = tokens_of(llama, replace(FREE, completions=8, eos_ids=ends))
    for group, whole in zip(found, free, strict=True):
        for response, unbounded in zip(group, whole, strict=True):
            stop = next((at + 1 for at, token in enumerate(unbounded) if token in ends), 9)
            assert response == unbounded[:stop]
    assert found[0][0] == ends[:1]


def test_decoding_stops_when_all_have_ended(llama: Any):
    steps = []
    every = replace(FREE, eos_ids=tuple(range(WORDS)))
    sample(llama, PROMPTS, KEYS, every, seed=0, batch_size=64, each=lambda: steps.append(1))
    assert len(steps) == 1
    steps.clear()
    sample(llama, PROMPTS, KEYS, FREE, seed=0, batch_size=6, each=lambda: steps.append(1))
    assert len(steps) == 3 * 9  # two prompts of three samples a batch


def test_a_prompt_is_read_once_for_all_its_samples(llama: Any):
    shapes = []
    hook = llama.model.register_forward_pre_hook(
        lambda _, __, given: shapes.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    tokens_of(llama, replace(FREE, max_new_tokens=3), prompts=PROMPTS[:2], keys=KEYS[:2])
    hook.remove()
    assert shapes == [(2, 7), (6, 1), (6, 1)]


def test_responses_that_have_ended_leave_the_batch(llama: Any):
    widths = []
    hook = llama.model.register_forward_pre_hook(
        lambda _, __, given: widths.append(len(given["input_ids"])), with_kwargs=True
    )
    found = tokens_of(
        llama, replace(FREE, completions=16, eos_ids=(4, 5, 6, 7)), prompts=PROMPTS[:1], keys=[2]
    )
    hook.remove()
    lengths = [len(response) for response in found[0]]
    for step, width in enumerate(widths[1:], start=1):
        going = sum(length > step for length in lengths)
        assert going <= width < going / 0.75 + 1
    assert widths[-1] < 16


def test_one_empty_group_of_prompts(llama: Any):
    assert tokens_of(llama, prompts=[], keys=[]) == []
    with pytest.raises(ValueError, match="keys"):
        tokens_of(llama, keys=[1])


@pytest.mark.parametrize("weight", [0.25, 1.0])
def test_a_mixture_is_the_geometric_mean_of_two_laws(llama: Any, weight: float):
    other = build("llama", seed=9)
    (group,) = drawn(
        llama,
        PROMPTS[:1],
        [0],
        replace(FREE, max_new_tokens=4, completions=5),
        seed=0,
        batch_size=5,
        each=nothing,
        mixture=(other, weight),
    )
    for response in group:
        ids = PROMPTS[0].tolist()
        for token, logp in zip(response.tokens.tolist(), response.logps, strict=True):
            policy, reference = (next_logits(each, ids).log_softmax(0) for each in (llama, other))
            mixed = ((1 - weight) * policy + weight * reference).log_softmax(0)
            assert logp == pytest.approx(float(mixed[token]), abs=1e-5)
            ids.append(token)


def test_a_policy_mixed_with_itself_is_mixed_with_what_its_adapter_started_from(llama: Any):
    adapted = get_peft_model(
        build("llama"), LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    )
    base = tokens_of(llama)
    assert tokens_of(adapted) != base
    groups = sample(adapted, PROMPTS, KEYS, FREE, seed=1, batch_size=6, each=nothing, mixture=(adapted, 1.0))
    assert [tuple(tuple(each.tolist()) for each in group) for group in groups] == base


def test_the_model_is_left_as_it_was():
    model = build("llama").train()
    tokens_of(model)
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_dropout_does_not_disturb_a_draw():
    model = build("gpt2")
    calm = tokens_of(model)
    assert tokens_of(model.train()) == calm


def test_an_architecture_without_a_cache_of_keys_is_refused():
    from transformers import MambaConfig, MambaForCausalLM

    model = MambaForCausalLM(MambaConfig(vocab_size=WORDS, hidden_size=8, num_hidden_layers=1, state_size=2))
    with pytest.raises(Failure, match="E607"):
        tokens_of(model)


def test_a_cache_of_a_later_name_is_used(llama: Any):
    """Newer releases of transformers call the argument `cache`."""
    renamed, forward = build("llama"), type(llama).forward

    def later(input_ids: Any, attention_mask: Any, cache: Any, use_cache: bool) -> Any:
        return forward(llama, input_ids, attention_mask, past_key_values=cache, use_cache=use_cache)

    renamed.forward = later
    assert tokens_of(renamed) == tokens_of(llama)

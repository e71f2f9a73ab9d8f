"""Generate text for evaluation: batches padded on the left, greedy or sampled, with a key-value cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..base.seeds import derive
from ..kernels.attention import causal_lm

__all__ = ["generate", "generate_ids"]


def generate(
    model: nn.Module,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    batch_size: int = 16,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
) -> list[list[int]]:
    """Continue texts, and give the continuations' tokens as `generate_ids` does.

    Prompts are texts as the model was trained on them, the chat template already applied; the tokenizer adds
    what it adds to a training prompt but for EOS. Temperature 0 is greedy.
    """
    ids = [prompt_ids(tokenizer, prompt) for prompt in prompts]
    return generate_ids(
        model,
        ids,
        eos_id=tokenizer.eos_token_id,
        pad_id=tokenizer.pad_token_id,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
    )


def prompt_ids(tokenizer: Any, prompt: str) -> list[int]:
    """Tokenize a prompt; an EOS that the tokenizer appends would end the answer before it begins."""
    ids = list(tokenizer(prompt)["input_ids"])
    return ids[:-1] if ids and ids[-1] == tokenizer.eos_token_id else ids


def generate_ids(
    model: nn.Module,
    prompts: Sequence[Sequence[int] | np.ndarray],
    *,
    eos_id: int,
    pad_id: int,
    max_new_tokens: int,
    batch_size: int = 16,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
) -> list[list[int]]:
    """Continue token rows; each answer ends before its EOS, or after ``max_new_tokens``.

    Prompts of like length share a batch; the answers come in the order of the prompts. A draw depends on the
    seed and the batch alone, never on a global state.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    training = model.training
    model.eval()
    options = sampling(temperature, top_p) | {"max_new_tokens": max_new_tokens, "use_cache": True}
    for number, places in enumerate(by_length(prompts, batch_size)):
        ids, mask = left_padded([prompts[place] for place in places], pad_id, device_of(model))
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(derive(seed, "generate", number))
            whole = causal_lm(model).generate(
                input_ids=ids, attention_mask=mask, pad_token_id=pad_id, eos_token_id=eos_id, **options
            )
        for place, row in zip(places, whole[:, ids.shape[1] :].tolist(), strict=True):
            answers[place] = row[: row.index(eos_id)] if eos_id in row else row
    model.train(training)
    return answers


def device_of(model: nn.Module) -> torch.device:
    """Give the device of a model's weights."""
    return next(model.parameters()).device


def sampling(temperature: float, top_p: float) -> dict[str, Any]:
    """Give the options of transformers' `generate`: greedy, or draws from the whole distribution."""
    if temperature == 0:
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    return {"do_sample": True, "temperature": temperature, "top_p": top_p, "top_k": 0}


def by_length(prompts: Sequence[Any], size: int) -> Iterator[list[int]]:
    """Group prompts of like length, so that little is padded."""
    order = sorted(range(len(prompts)), key=lambda place: (len(prompts[place]), place))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def left_padded(rows: Sequence[Any], pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Put rows into one tensor, padded on the left, with the mask of the real tokens."""
    longest = max(len(row) for row in rows)
    ids = np.full((len(rows), longest), pad_id, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for line, row in enumerate(rows):
        ids[line, longest - len(row) :] = row
        mask[line, longest - len(row) :] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)

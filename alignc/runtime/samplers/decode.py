"""Decoding with a key-value cache: a prompt is read once, and its responses grow from there token by token."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import DynamicCache

from ...contract.failure import Failure
from ...contract.support import refusal
from ..data.example import Tokens
from ..kernels.attention import causal_lm
from ..scoring.reference import disabled
from .distribution import draw, weights
from .padded import device_of, left_padded
from .reread import Rereader
from .sampling import Drawn, Sampling

__all__ = ["Reader", "decode", "keeps_cache"]

CACHES = ("past_key_values", "cache")
"""The argument that takes the cache: transformers calls it `cache` from 5.24 on."""
_DROP = 0.25  # share of ended responses in a batch from which on they are taken out of it


class Reader:
    """A model that reads tokens and gives the logits of the next ones, its cache beside it.

    ``bare`` reads with the adapter switched off. Raises E607 for an architecture that keeps no cache of keys and
    values by position.
    """

    def __init__(self, model: nn.Module, *, bare: bool = False) -> None:
        self.base = causal_lm(model)
        parameters = inspect.signature(self.base.forward).parameters
        self.memory = next((name for name in CACHES if name in parameters), "")
        if not keeps_cache(model):
            raise _no_cache(type(self.base).__name__)
        self.places = "position_ids" in parameters
        self.last: dict[str, Any] = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}
        self.without: Callable[[], AbstractContextManager[object]] = (
            partial(disabled, model) if bare else nullcontext
        )
        self.cache = DynamicCache(config=self.base.config)

    def read(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """Read ``[B, S]`` more tokens; the mask ``[B, whole length]`` covers the cache as well. Logits ``[B, V]``."""
        where: dict[str, Any] = {self.memory: self.cache}
        where |= {"position_ids": positions} if self.places else {}
        with self.without():
            output = self.base(
                input_ids=ids,
                attention_mask=mask,
                use_cache=True,
                **where,
                **self.last,
            )
        logits: Tensor = output.logits[:, -1]
        return logits


def keeps_cache(model: nn.Module) -> bool:
    """Tell whether a model keeps keys and values by position, from which responses grow."""
    base = causal_lm(model)
    parameters = inspect.signature(base.forward).parameters
    return not base._is_stateful and any(name in parameters for name in CACHES)


def _no_cache(name: str) -> Failure:
    return refusal("architecture_without_cache").failure(model=name)


def decode(
    readers: Sequence[tuple[Reader | Rereader, float]],
    prompts: Sequence[Tokens],
    numbers: NDArray[np.float64],
    sampling: Sampling,
    each: Callable[[], object],
) -> list[Drawn]:
    """Sample the responses of a batch of prompts, those of the first prompt first.

    ``readers`` are fresh, each with the weight of its log-probabilities. ``numbers`` are the uniform ones,
    ``[prompts * completions, max_new_tokens]``. A response that has ended is read on until a quarter of the batch
    has, which is taken out then: copying the cache costs about what a step does.
    """
    device, k = device_of(readers[0][0].base), sampling.completions
    ids, mask = left_padded(prompts, sampling.pad_id, device)
    logits = _read(readers, ids, mask, (mask.cumsum(1) - 1).clamp(min=0)).repeat_interleave(k, dim=0)
    for reader, _ in readers:
        reader.cache.batch_repeat_interleave(k)
    mask, positions = (x.repeat_interleave(k, dim=0) for x in (mask, mask.sum(1, keepdim=True)))
    batch = _Batch(numbers, sampling)
    while batch.step(logits, each):
        if (kept := batch.drop(device)) is not None:
            mask, positions = mask[kept], positions[kept]
            for reader, _ in readers:
                reader.cache.batch_select_indices(kept)
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        logits = _read(readers, batch.newest(device), mask, positions)
        positions = positions + 1
    return batch.responses()


def _read(
    readers: Sequence[tuple[Reader | Rereader, float]], ids: Tensor, mask: Tensor, positions: Tensor
) -> Tensor:
    """Mix the logits of the readers: a weighted sum is a geometric mean of distributions, not normalized."""
    if len(readers) == 1:
        return readers[0][0].read(ids, mask, positions)
    return sum(weight * reader.read(ids, mask, positions).double() for reader, weight in readers)  # type: ignore[return-value]


class _Batch:
    """The responses of a batch as they grow; ``lines`` are those that are still read."""

    def __init__(self, numbers: NDArray[np.float64], sampling: Sampling) -> None:
        self.sampling, self.numbers, self.length = sampling, numbers, 0
        self.tokens, self.logps = np.zeros(numbers.shape, dtype=np.int32), np.zeros(numbers.shape)
        self.lines = np.arange(len(numbers))
        self.ended = np.zeros(len(numbers), dtype=bool)
        self.ends = np.full(len(numbers), numbers.shape[1])

    def step(self, logits: Tensor, each: Callable[[], object]) -> bool:
        """Choose the next token of every line; tell whether a response goes on."""
        tokens, logps = _choose(logits, self.numbers[self.lines, self.length], self.sampling)
        self.tokens[self.lines, self.length], self.logps[self.lines, self.length] = tokens, logps
        self.length += 1
        self._end(np.isin(tokens, self.sampling.eos_ids))
        each()
        return self.length < self.sampling.max_new_tokens and not bool(self.ended.all())

    def _end(self, drawn: NDArray[np.bool_]) -> None:
        """Note the lines that end here: they drew an end, or their last token completes a string."""
        going, stops = ~self.ended[self.lines], self.sampling.stops
        if stops is not None:
            for place in np.flatnonzero(going & ~drawn):
                drawn[place] = stops.completed(self.tokens[self.lines[place], : self.length].tolist())
        ended = self.lines[going & drawn]
        self.ended[ended], self.ends[ended] = True, self.length

    def drop(self, device: torch.device) -> Tensor | None:
        """Take ended lines out where they are many; return the places of the others."""
        going = ~self.ended[self.lines]
        if going.mean() > 1 - _DROP:
            return None
        self.lines = self.lines[going]
        return torch.from_numpy(np.flatnonzero(going)).to(device)

    def newest(self, device: torch.device) -> Tensor:
        """Return the last token of every line, ``[lines, 1]``."""
        return torch.from_numpy(self.tokens[self.lines, self.length - 1 : self.length].astype(np.int64)).to(
            device
        )

    def responses(self) -> list[Drawn]:
        """Cut every response where it ended."""
        whole = zip(self.tokens, self.logps, self.ends, strict=True)
        return [Drawn(tokens[:end].copy(), logps[:end].copy()) for tokens, logps, end in whole]


def _choose(
    logits: Tensor, uniform: NDArray[np.float64], sampling: Sampling
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    if sampling.temperature == 0:
        return logits.argmax(dim=1).cpu().numpy(), np.zeros(len(logits))
    distribution = weights(
        logits, sampling.temperature, sampling.top_p, top_k=sampling.top_k, min_p=sampling.min_p
    )
    tokens, logps = draw(distribution, torch.from_numpy(uniform))
    return tokens.cpu().numpy(), logps.cpu().numpy()

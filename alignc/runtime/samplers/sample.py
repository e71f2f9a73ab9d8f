"""Sample responses to prompts from a policy as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from ..data.example import Tokens
from .decode import Reader, decode
from .padded import by_length
from .reread import Rereader
from .sampling import Drawn, Sampling, uniforms

__all__ = ["drawn", "sample"]


def sample(
    model: nn.Module,
    prompts: Sequence[Tokens],
    keys: Sequence[int],
    sampling: Sampling,
    *,
    seed: int,
    batch_size: int,
    each: Callable[[], object],
    mixture: tuple[nn.Module, float] | None = None,
    cached: bool = True,
) -> list[tuple[Tokens, ...]]:
    """Sample the responses to each prompt, in the order of the prompts; none is empty.

    A response keeps its EOS as its last token, and has none where ``max_new_tokens`` cut it. A token depends on the
    policy and on (seed, the prompt's key, the number of the sample, the position). It does not depend on the batch, on
    the order or on a global state. (A matrix product may round differently in a batch of another size, by 1e-7; a draw
    that falls that near a boundary falls to the other side.)

    ``batch_size`` counts responses that are decoded at once, those of one prompt at least. ``each`` is called once a
    token. ``mixture`` is (reference, w): tokens come from π^(1−w)·ref^w, normalized; where the reference is the policy
    itself, its adapter is switched off for it. Without ``cached`` the whole text is read for each token, which any
    architecture can, and which takes long; a mixture is always cached.
    """
    groups = drawn(
        model,
        prompts,
        keys,
        sampling,
        seed=seed,
        batch_size=batch_size,
        each=each,
        mixture=mixture,
        cached=cached,
    )
    return [tuple(response.tokens for response in group) for group in groups]


def drawn(
    model: nn.Module,
    prompts: Sequence[Tokens],
    keys: Sequence[int],
    sampling: Sampling,
    *,
    seed: int,
    batch_size: int,
    each: Callable[[], object],
    mixture: tuple[nn.Module, float] | None = None,
    cached: bool = True,
) -> list[tuple[Drawn, ...]]:
    """Sample as ``sample`` does, and keep the log-probabilities under the sampling distribution."""
    if len(keys) != len(prompts):
        raise ValueError(f"{len(keys)} keys for {len(prompts)} prompts")
    k = sampling.completions
    groups: list[tuple[Drawn, ...]] = [()] * len(prompts)
    with _listening(model, mixture[0] if mixture else model):
        for places in by_length(prompts, max(1, batch_size // k)):
            numbers = np.stack(
                [uniforms(seed, keys[at], n, sampling.max_new_tokens) for at in places for n in range(k)]
            )
            responses = decode(
                _readers(model, mixture, cached), [prompts[at] for at in places], numbers, sampling, each
            )
            for line, at in enumerate(places):
                groups[at] = tuple(responses[line * k : (line + 1) * k])
    return groups


def _readers(
    model: nn.Module, mixture: tuple[nn.Module, float] | None, cached: bool
) -> list[tuple[Reader | Rereader, float]]:
    if mixture is None and not cached:
        return [(Rereader(model), 1.0)]
    if mixture is None:
        return [(Reader(model), 1.0)]
    reference, weight = mixture
    return [(Reader(model), 1 - weight), (Reader(reference, bare=reference is model), weight)]


@contextmanager
def _listening(*models: nn.Module) -> Iterator[None]:
    """Switch dropout and gradients off, and put the models back as they were."""
    before = [(model, model.training) for model in models]
    for model in models:
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for model, training in reversed(before):
            model.train(training)

"""The sampling distribution of the next token, and a token drawn from it by one uniform number."""

from __future__ import annotations

import torch
from torch import Tensor

from ...contract.failure import Failure

__all__ = ["draw", "likeliest", "nucleus", "weights"]

_BLOCK = 256  # words summed before the search goes into them


def weights(
    logits: Tensor, temperature: float, top_p: float = 1.0, *, top_k: int | None = None, min_p: float = 0.0
) -> Tensor:
    """Turn logits into weights of the sampling distribution ``[B, V]`` float64, not normalized.

    The temperature is above 0. The order is that of transformers' ``generate``: temperature, top-k, top-p of what is
    left, min-p.
    Raises E801 where logits are not finite: no token could be drawn.
    """
    scaled = logits.double() / temperature
    top = scaled.amax(dim=1, keepdim=True)
    if not bool(top.isfinite().all()):
        raise _not_finite()
    mass = (scaled - top).exp_()
    if top_k is not None and top_k < mass.shape[1]:
        mass = mass * likeliest(mass, top_k)
    if top_p < 1:
        mass = mass * nucleus(mass, top_p)
    return mass * (mass >= min_p) if min_p > 0 else mass  # the likeliest word has the mass 1


def likeliest(mass: Tensor, top_k: int) -> Tensor:
    """Tell which words stay: the ``top_k`` likeliest; of equals the first."""
    places = mass.sort(dim=1, descending=True, stable=True).indices[:, :top_k]
    return torch.zeros_like(mass, dtype=torch.bool).scatter_(1, places, True)


def _not_finite() -> Failure:
    return Failure(
        "E801",
        "the logits of the policy are not finite, so no token can be sampled",
        why="a step made the weights too large, or the number format is too narrow for the weights",
        help="lower `train.learning_rate`, or choose `bfloat16` instead of `float16`",
    )


def nucleus(mass: Tensor, top_p: float) -> Tensor:
    """Tell which words stay: the likeliest, until they hold the share ``top_p`` together; of equals the first."""
    ordered, places = mass.sort(dim=1, descending=True, stable=True)
    before = ordered.cumsum(dim=1) - ordered
    inside = before < top_p * ordered.sum(dim=1, keepdim=True)
    return torch.zeros_like(inside).scatter_(1, places, inside)


def draw(mass: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Invert the distribution function: tokens ``[B]``, and the log-probability of each.

    The search goes through sums of blocks first: a running sum over a whole vocabulary takes longer, and on GPUs
    torch does not promise it to be the same twice.
    """
    blocks = _blocks(mass)
    sums = blocks.sum(dim=2)
    block, rest, total = _search(sums, uniform)
    words = blocks[torch.arange(len(mass), device=mass.device), block]
    word, _, _ = _search(words, (rest / sums.gather(1, block[:, None])[:, 0]).clamp(min=0))
    tokens = block * _BLOCK + word
    return tokens, (mass.gather(1, tokens[:, None])[:, 0] / total).log()


def _blocks(mass: Tensor) -> Tensor:
    missing = -mass.shape[1] % _BLOCK
    return torch.nn.functional.pad(mass, (0, missing)).view(len(mass), -1, _BLOCK)


def _search(values: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Find where the running sum first exceeds the share ``uniform`` of the total, never at a zero.

    Returns the place, by how much the share goes into it, and the total. Sums run on the CPU, where they repeat.
    """
    host = values.cpu()
    running = host.cumsum(dim=1)
    total = running[:, -1:]
    goal = uniform.cpu()[:, None] * total
    last = host.shape[1] - 1 - (host > 0).flip(1).int().argmax(dim=1, keepdim=True)
    place = torch.minimum((running <= goal).sum(dim=1, keepdim=True), last)
    into = goal - running.gather(1, place) + host.gather(1, place)
    return tuple(x[:, 0].to(values.device) for x in (place, into, total))  # type: ignore[return-value]

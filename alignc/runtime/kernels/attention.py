"""Attention over a packed stream whose responses share their prompt, as an attention of transformers.

A stream holds row after row, and a row its prompt once and then each response. A response sees the prompt and
itself, never another response. transformers hands every keyword of a model's forward on to the attention
function, so ``segments=`` reaches each layer without a line of model code.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import causal_mask_function, sdpa_mask

from .watch import Watch, watched

__all__ = [
    "PACKED",
    "Segments",
    "attend",
    "backbone_of",
    "causal_lm",
    "packing_fault",
    "takes_packed",
    "use_packed",
]

PACKED = "alignc_packed"

Segments = tuple[tuple[int, ...], ...]
"""For each row of a stream: the tokens of its prompt, then of each of its responses."""


def takes_packed(model: nn.Module) -> bool:
    """Say whether packed rows can be tried on a model: what they compute there, a probe has to say."""
    return packing_fault(model) is None


def packing_fault(model: nn.Module) -> str | None:
    """Say why packed rows can't be tried on a model, or None.

    It must take its attention function, its positions and further keywords from outside, and keep no state.
    """
    base = causal_lm(model)
    backbone = inspect.signature(backbone_of(base).forward).parameters
    if base._is_stateful:
        return "its layers carry a state from token to token"
    if not (base._can_set_attn_implementation() and base._supports_sdpa):
        return "its attention can't be replaced"
    if "position_ids" not in backbone:
        return "it takes no positions"
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in backbone.values()):
        return "it hands no keywords on to its attention"
    return None


def use_packed(model: nn.Module) -> Callable[[], None]:
    """Switch a model to packed attention, which serves ordinary batches and ``generate`` as well.

    The returned function switches it back.
    """
    AttentionInterface.register(PACKED, attend)
    AttentionMaskInterface.register(PACKED, _mask)
    base = causal_lm(model)
    before = base.config._attn_implementation
    base.set_attn_implementation(PACKED)
    return partial(base.set_attn_implementation, before)


def causal_lm(model: nn.Module) -> Any:
    """Return the transformers model itself: an adapter's layers live inside it."""
    inner = getattr(model, "get_base_model", None)
    return inner() if callable(inner) else model


def backbone_of(base: Any) -> Any:
    """Return the part of a language model that makes hidden states; some name it otherwise than they say."""
    named = base.base_model
    if named is not base:
        return named
    inner = [child for child in base.children() if isinstance(child, PreTrainedModel)]
    return inner[0] if inner else base


def _mask(*, attention_mask: Tensor | None, q_length: int, kv_length: int, **rest: Any) -> Tensor | None:
    """Build no mask where `attend` knows causality by itself: whole sequences without padding."""
    watch = watched()
    if watch is not None:
        return _noted(watch, attention_mask, q_length, kv_length, rest)
    if attention_mask is None and q_length == kv_length:
        return None
    mask: Tensor | None = sdpa_mask(
        attention_mask=attention_mask, q_length=q_length, kv_length=kv_length, **rest
    )
    return mask


def _noted(
    watch: Watch, attention_mask: Tensor | None, q_length: int, kv_length: int, rest: dict[str, Any]
) -> Tensor | None:
    """Build the mask in any case, so that the watch can tell which call of attention takes it."""
    rest = rest | {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    made: Tensor | None = sdpa_mask(
        attention_mask=attention_mask, q_length=q_length, kv_length=kv_length, **rest
    )
    if made is not None:
        watch.made.append((made, rest.get("mask_function", causal_mask_function)))
    return made


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    segments: Segments | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend within segments: from ``[1, heads, time, d]`` to ``[1, time, heads, d]``.

    Without ``segments`` each row of the batch is one sequence.
    """
    watch = watched()
    if watch is not None:
        causal = kwargs.get("is_causal", getattr(module, "is_causal", True))
        watch.called(attention_mask, sliding_window, segments, causal is not False, kwargs)
    if segments is None and (attention_mask is not None or query.shape[2] != key.shape[2]):
        kwargs.update(scaling=scaling, dropout=dropout, sliding_window=sliding_window)
        output: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **kwargs
        )
        return output
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (x.repeat_interleave(groups, dim=1) for x in (key, value))
    pieces = [
        _causal(q, k, v, sliding_window, scaling, dropout).transpose(1, 2)
        for q, k, v in _sequences(query, key, value, segments or ((query.shape[2],),))
    ]
    return torch.cat(pieces, dim=1), None


def _sequences(query: Tensor, key: Tensor, value: Tensor, segments: Segments) -> Iterator[tuple[Tensor, ...]]:
    """Yield the queries of each response with the keys and values of its prompt and itself.

    The first response brings the prompt's queries along, so that they are answered once. Pieces are split and
    not sliced: a slice's backward would fill a whole stream with zeros for every segment.
    """
    # One row with a prompt of 4 tokens and responses of 2 and 3 inputs is the segment (4, 2, 3), a stream of 9:
    #   queries are split into [4 + 2, 3]: the first response answers for the prompt too;
    #   keys and values are split into [4, 2, 3]: the prompt's 4 stand before the keys of either response;
    #   yielded: 6 queries with 4 + 2 keys, then 3 queries with 4 + 3 keys. The last query sees all of its keys.
    # A row with a single response, (4, 2), is one piece of 6 on both sides: nothing has to be joined.
    paths = [n for prompt, *rest in segments for n in (prompt + sum(rest[:1]), *rest[1:])]
    queries = iter(query.split(paths, dim=2))
    shared = [
        n for prompt, *rest in segments for n in ((prompt, *rest) if len(rest) > 1 else (prompt + sum(rest),))
    ]
    keys, values = iter(key.split(shared, dim=2)), iter(value.split(shared, dim=2))
    for _, *responses in segments:
        if len(responses) < 2:
            yield next(queries), next(keys), next(values)
            continue
        prompt_key, prompt_value = next(keys), next(values)
        for _ in responses:
            k, v = torch.cat([prompt_key, next(keys)], dim=2), torch.cat([prompt_value, next(values)], dim=2)
            yield next(queries), k, v


def _causal(
    query: Tensor, key: Tensor, value: Tensor, window: int | None, scaling: float | None, dropout: float
) -> Tensor:
    """Attend causally where the queries are the last tokens of the keys' sequence."""
    asked, length = query.shape[2], key.shape[2]
    if asked == length and (window is None or length <= window):
        return F.scaled_dot_product_attention(
            query, key, value, dropout_p=dropout, is_causal=True, scale=scaling
        )
    mask = _visible(asked, length, window, query.device)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)


def _visible(asked: int, length: int, window: int | None, device: torch.device) -> Tensor:
    """Return which keys the last ``asked`` tokens see, ``[asked, length]``; a window holds itself too."""
    places = torch.arange(length, device=device)
    distance = places[length - asked :, None] - places
    return (distance >= 0) if window is None else (distance >= 0) & (distance < window)

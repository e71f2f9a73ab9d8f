"""Which of packed attention's conditions a model keeps: what its layers hand on, and which keys its masks show.

Numbers can hide a fault where weights are small or rows are short: a window of 4,096 tokens, or a chunk of 8,192, is
not seen in a probe of 20. So the calls themselves are looked at while a model reads one short row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

__all__ = ["Watch", "watched", "watching"]

FAR = 17
"""Masks are asked about places up to 2 to this power."""
MaskFunction = Callable[..., Tensor]
"""Tell of a batch, a head, a query's place and a key's whether the query sees the key."""
HARMLESS = frozenset({"position_ids", "cache_position"})
"""Keywords that say again where tokens stand."""


@dataclass
class Watch:
    """What was seen of a model's attention: its calls, their windows and masks, and keywords that change scores."""

    with_segments: int = 0
    without_segments: int = 0
    made: list[tuple[Tensor, MaskFunction]] = field(default_factory=list)
    pairs: list[tuple[int | None, MaskFunction | None]] = field(default_factory=list)
    faults: set[str] = field(default_factory=set)

    def called(
        self, mask: Tensor | None, window: int | None, segments: object, causal: bool, rest: Mapping[str, Any]
    ) -> None:
        """Note a call of the attention function."""
        self.with_segments += segments is not None
        self.without_segments += segments is None
        if not causal:
            self.faults.add("its attention sees later tokens")
        for name, value in rest.items():
            if changes_scores(name, value):
                self.faults.add(f"its attention takes `{name}`, which packed rows do not know")
        function = next((function for tensor, function in self.made if tensor is mask), None)
        if mask is not None and function is None:
            self.faults.add("it changes the mask that packed rows make")
        else:
            self.pairs.append((window, function))

    def fault(self) -> str | None:
        """Say which condition of packed attention a plain row does not keep, or None."""
        if not self.without_segments:
            return "its layers do not use the attention function that they are given"
        if self.faults:
            return min(self.faults)
        if not all(same(mask, window) for window, mask in self.pairs):
            return "its masks hide other tokens than packed rows do"
        return None

    def leak(self) -> str | None:
        """Say what a packed stream lacks: layers that drop keywords let rows see one another."""
        if self.with_segments and not self.without_segments:
            return None
        return "its layers drop keywords, so that packed rows would see one another"


_CURRENT: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watching() -> Iterator[Watch]:
    """Look at every call of packed attention for a while."""
    watch = Watch()
    token = _CURRENT.set(watch)
    try:
        yield watch
    finally:
        _CURRENT.reset(token)


def watched() -> Watch | None:
    """Give the watch that is kept at the moment."""
    return _CURRENT.get()


def changes_scores(name: str, value: Any) -> bool:
    """Tell whether a keyword of an attention call is a number or a tensor that attention computes with."""
    number = isinstance(value, (int, float, Tensor)) and not isinstance(value, bool)
    return number and name not in HARMLESS and not name.startswith(("cu_seq_lens", "max_length"))


def same(mask: MaskFunction | None, window: int | None) -> bool:
    """Tell whether a mask shows what plain causal attention within a window shows, up to far places."""
    if mask is None:
        return window is None
    edges = [] if window is None else [window - 1, window, window + 1]
    places = sorted({0, *(2**power + n for power in range(FAR + 1) for n in (-1, 0, 1)), *edges})
    query, key = pairs(places, [-1, 0, *(2**power for power in range(FAR + 1)), *edges])
    zero = torch.zeros_like(query)
    try:
        shown = mask(zero, zero, query, key).expand(query.shape)
    except Exception:  # a mask that knows this row's tokens alone can't be asked about others
        return False
    away = query - key
    expected = (away >= 0) if window is None else (away >= 0) & (away < window)
    return bool(torch.equal(shown.cpu(), expected))


def pairs(places: Sequence[int], distances: Sequence[int]) -> tuple[Tensor, Tensor]:
    """List places of queries and of keys so far before them."""
    both = [(place, place - away) for place in places for away in distances if place - away >= 0]
    query, key = torch.tensor(both).unbind(1)
    return query, key

"""A reader for models without a cache of keys and values by position: it reads the whole text for every token."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..kernels.attention import causal_lm

__all__ = ["Rereader"]


class Rereader:
    """A model that reads each text anew for each token, as ``decode`` asks; slow, and right for any architecture.

    Texts of one length are read together, so that nothing is padded: a recurrent state would take padding in.
    """

    def __init__(self, model: nn.Module) -> None:
        self.base = causal_lm(model)
        self.cache = self
        self.ids = torch.empty(0)
        self.mask = torch.empty(0)

    def read(self, ids: Tensor, mask: Tensor, positions: Tensor) -> Tensor:
        """Read ``[B, S]`` more tokens behind those that were read; the mask covers all of them. Logits ``[B, V]``."""
        self.ids = torch.cat([self.ids.to(ids), ids], dim=1) if self.ids.numel() else ids
        self.mask = mask
        logits: list[Tensor] = [torch.empty(0)] * len(ids)
        for lines, texts in self._texts():
            last = self.base(input_ids=texts, use_cache=False).logits[:, -1]
            for line, row in zip(lines, last, strict=True):
                logits[line] = row
        return torch.stack(logits)

    def _texts(self) -> Iterator[tuple[list[int], Tensor]]:
        lengths = self.mask.sum(1).tolist()
        for length in sorted(set(lengths)):
            lines = [line for line, each in enumerate(lengths) if each == length]
            yield lines, torch.stack([self.ids[line][self.mask[line].bool()] for line in lines])

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every text, as a cache repeats its lines."""
        self.ids = self.ids.repeat_interleave(repeats, dim=0)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some texts, as a cache keeps some of its lines."""
        self.ids = self.ids[indices]

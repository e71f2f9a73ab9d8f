"""Tiles of logits: what a head says about a few rows and a few thousand words at a time.

With z the logits, m a tile's maximum in a row and e = exp(z − m), a tile leaves m, Σe and, where the backward is
to have it, e. The normalizer log Z of a row is put together from these, as M + log Σ with M the row's maximum.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["TILE_WIDTH", "Head", "LogitRule", "Normalizer", "again", "exponentials", "pick", "reduce"]

TILE_WIDTH = 4096  # vocabulary entries; on CPU 1.1x (float32) to 1.9x (bfloat16) faster than whole rows
_TILE_BYTES = 32 * 2**20  # a tile's logits; larger ones leave the last cache level and gain nothing


@dataclass(frozen=True)
class LogitRule:
    """What an architecture does after its head: ``softcap · tanh(scale · product / softcap)``."""

    scale: float = 1.0
    softcap: float | None = None

    def apply(self, product: Tensor) -> Tensor:
        """Turn the head's product into logits, in place."""
        if self.scale != 1.0:
            product.mul_(self.scale)
        return product if self.softcap is None else product.div_(self.softcap).tanh_().mul_(self.softcap)

    def slope(self, logits: Tensor) -> Tensor | float:
        """Return ∂logits/∂product but for the constant ``scale``."""
        return 1.0 if self.softcap is None else 1 - (logits / self.softcap) ** 2


@dataclass(frozen=True)
class Head:
    """An LM head in one call: its parameters, the dtype of its products and how its tiles are cut."""

    weight: Tensor
    bias: Tensor | None
    rule: LogitRule
    compute: torch.dtype
    width: int

    @property
    def exact(self) -> torch.dtype:
        """The dtype of every reduction and of every sum over tiles."""
        return torch.float64 if self.compute == torch.float64 else torch.float32

    def columns(self) -> Iterator[slice]:
        """Cut the vocabulary."""
        return _slices(self.weight.shape[0], self.width)

    def rows(self, tokens: int) -> Iterator[slice]:
        """Cut the tokens, so that a tile stays small."""
        return _slices(tokens, max(1, _TILE_BYTES // (self.width * self.exact.itemsize)))

    def tile(self, columns: slice) -> Tensor:
        """Return a tile's weights in the dtype of the products."""
        return self.weight[columns].to(self.compute)

    def logits(self, hidden: Tensor, columns: slice) -> Tensor:
        """Make the logits of some rows in a tile."""
        product = torch.mm(hidden, self.tile(columns).t()).to(self.exact)
        if self.bias is not None:
            product += self.bias[columns].to(self.exact)
        return self.rule.apply(product)

    def fits(self, tokens: int, budget: int) -> bool:
        """Say whether all of a call's exponentials may be kept."""
        return tokens * self.weight.shape[0] * self.compute.itemsize <= budget


@dataclass(frozen=True)
class Normalizer:
    """log Z of each row, in two parts that keep their precision where logits are large."""

    highest: Tensor  # M
    log_sum: Tensor  # log Σ exp(z − M)

    def log_share(self, logits: Tensor, rows: slice) -> Tensor:
        """Return logits − log Z, for one logit in each of some rows."""
        return (logits - self.highest[rows]) - self.log_sum[rows]

    def shares(self, logits: Tensor, rows: slice) -> Tensor:
        """Turn a tile of logits into probabilities, in place."""
        return logits.sub_(self.highest[rows][:, None]).sub_(self.log_sum[rows][:, None]).exp_()


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(at, min(at + step, length)) for at in range(0, length, step))


def pick(into: Tensor, logits: Tensor, targets: Tensor, columns: slice) -> None:
    """Copy the logits of those targets that lie in this tile."""
    local = targets - columns.start
    inside = (local >= 0) & (local < logits.shape[1])
    found = logits.gather(1, local.clamp(0, logits.shape[1] - 1)[:, None])[:, 0]
    torch.where(inside, found, into, out=into)


def exponentials(head: Head, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return m, Σe and e·slope in the dtype of the products; overwrites the logits."""
    slope = head.rule.slope(logits)
    top = logits.amax(1)
    e = logits.sub_(top[:, None]).exp_()
    total = e.sum(1)
    return top, total, _sloped(head, e, slope)


def reduce(
    head: Head, hidden: Tensor, targets: Tensor, kept: list[Tensor] | None
) -> tuple[Tensor, Normalizer]:
    """Return the targets' logits and the rows' normalizer; append every tile's e·slope and m to ``kept``."""
    chosen, highest, log_sum = (hidden.new_zeros(len(hidden), dtype=head.exact) for _ in range(3))
    for rows in head.rows(len(hidden)):
        tops, totals = [], []
        for columns in head.columns():
            logits = head.logits(hidden[rows], columns)
            pick(chosen[rows], logits, targets[rows], columns)
            top, total, e = exponentials(head, logits)
            tops.append(top)
            totals.append(total)
            if kept is not None:
                kept += (e, top)
        highest[rows] = torch.stack(tops).amax(0)
        log_sum[rows] = (torch.stack(totals) * (torch.stack(tops) - highest[rows]).exp()).sum(0).log()
    return chosen, Normalizer(highest, log_sum)


def again(
    head: Head, hidden: Tensor, normalizer: Normalizer, kept: list[Tensor]
) -> Iterator[tuple[slice, slice, Tensor, Tensor | float]]:
    """Yield e·slope of every tile, kept or made again, with the factor that makes it a probability."""
    remembered = iter(kept)
    for rows in head.rows(len(hidden)):
        for columns in head.columns():
            if kept:
                e, top = next(remembered), next(remembered)
                yield rows, columns, e, normalizer.log_share(top, rows).exp()
            else:
                logits = head.logits(hidden[rows], columns)
                slope = head.rule.slope(logits)
                yield rows, columns, _sloped(head, normalizer.shares(logits, rows), slope), 1.0


def _sloped(head: Head, e: Tensor, slope: Tensor | float) -> Tensor:
    return (e if isinstance(slope, float) else e.mul_(slope)).to(head.compute)

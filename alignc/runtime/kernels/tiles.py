"""Tiles of logits: what a head says about a few rows and a few thousand words at a time.

With z the logits, m a tile's maximum in a row and e = exp(z − m), a tile leaves m, Σe and, where the backward is
to have it, e. The normalizer log Z of a row is put together from these, as M + log Σ with M the row's maximum.

For example, a row with the logits (1, 3 | 2, 5) in two tiles of width 2:

    tile 1: m = 3, Σe = e^−2 + e^0 = 1.1353        tile 2: m = 5, Σe = e^−3 + e^0 = 1.0498
    M = max(3, 5) = 5,  Σ = 1.1353·e^(3−5) + 1.0498·e^(5−5) = 0.1537 + 1.0498 = 1.2034
    log Z = 5 + log 1.2034 = 5.1852

A row of all 128,000 logits would be the same sum, and it never exists as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ...contract.sizes import TILE_BYTES

__all__ = [
    "TILE_WIDTH",
    "Gradients",
    "Head",
    "LogitRule",
    "Normalizer",
    "again",
    "compute_dtype",
    "exponentials",
    "joined",
    "pick",
    "reduce",
]

TILE_WIDTH = 4096  # vocabulary entries; on CPU 1.1x (float32) to 1.9x (bfloat16) faster than whole rows


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
        return _slices(tokens, max(1, TILE_BYTES // (self.width * self.exact.itemsize)))

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


def compute_dtype(hidden: Tensor) -> torch.dtype:
    """Give the type of the matrix products: autocast's where it is on, else that of the hidden states."""
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


def _slices(length: int, step: int) -> Iterator[slice]:
    return (slice(at, min(at + step, length)) for at in range(0, length, step))


def pick(into: Tensor, logits: Tensor, targets: Tensor, columns: slice) -> None:
    """Copy the logits of those targets that lie in this tile."""
    local = targets - columns.start
    inside = (local >= 0) & (local < logits.shape[1])
    chosen = logits.gather(1, local.clamp(0, logits.shape[1] - 1)[:, None])[:, 0]
    torch.where(inside, chosen, into, out=into)


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
        highest[rows], log_sum[rows] = joined(tops, totals)
    return chosen, Normalizer(highest, log_sum)


def joined(tops: list[Tensor], totals: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Put together M and log Σ exp(z − M) of some rows from m and Σe of each tile.

    Every path to a log-probability goes through here: with and without a gradient it has the same bits.
    """
    highest = torch.stack(tops).amax(0)
    return highest, (torch.stack(totals) * (torch.stack(tops) - highest).exp()).sum(0).log()


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


@dataclass(frozen=True)
class Gradients:
    """Sums of the gradients over tiles, each only where it is asked for."""

    head: Head
    hidden: Tensor
    by_hidden: Tensor | None
    by_weight: Tensor | None
    by_bias: Tensor | None

    @classmethod
    def start(cls, head: Head, hidden: Tensor, wanted: tuple[bool, bool, bool]) -> Gradients:
        """Begin at zero for those of hidden states, weight and bias that are wanted."""
        sources = (hidden, head.weight, head.bias)
        zeros = (
            torch.zeros(source.shape, dtype=head.exact, device=source.device)
            if want and source is not None
            else None
            for want, source in zip(wanted, sources, strict=True)
        )
        return cls(head, hidden, *zeros)

    def add_tile(self, rows: slice, columns: slice, e: Tensor, share: Tensor) -> None:
        """Add what the probabilities ``e`` times a row's ``share`` give."""
        if self.by_hidden is not None:
            self.by_hidden[rows].addcmul_((e @ self.head.tile(columns)).to(share.dtype), share[:, None])
        if self.by_weight is not None:
            scaled = (self.hidden[rows] * share[:, None]).to(e.dtype)
            _add_product(self.by_weight[columns], e.t(), scaled)
        if self.by_bias is not None:
            self.by_bias[columns] += share @ e.to(share.dtype)

    def add_targets(self, targets: Tensor, share: Tensor) -> None:
        """Add what the onehot(target) part of ∂log p/∂z gives."""
        if self.by_hidden is not None:
            self.by_hidden.addcmul_(self.head.weight[targets].to(share.dtype), share[:, None])
        if self.by_weight is not None:
            self.by_weight.index_add_(0, targets, self.hidden.to(share.dtype) * share[:, None])
        if self.by_bias is not None:
            self.by_bias.index_add_(0, targets, share)

    def as_dtypes(self, *sources: Tensor | None) -> tuple[Tensor | None, ...]:
        """Give the sums in the dtypes of what they are gradients of, None where none was wanted."""
        sums = (self.by_hidden, self.by_weight, self.by_bias)
        return tuple(
            None if value is None or source is None else value.to(source.dtype)
            for value, source in zip(sums, sources, strict=True)
        )


def _add_product(into: Tensor, left: Tensor, right: Tensor) -> None:
    """Add ``left @ right``, summing in the wider dtype of ``into``."""
    if into.dtype == left.dtype:
        into.addmm_(left, right)
    else:
        into.add_((left @ right).to(into.dtype))

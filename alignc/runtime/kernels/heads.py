"""The way from hidden states to logits, measured on the model's own code and not read off the model's name.

A model may scale its hidden states, cap its logits, or put layers before its LM head. Tiles of logits follow
``softcap · tanh(scale · product / softcap)`` alone. So the head is replaced for one forward by a function that gives
known numbers z: what the model hands to its head, and what it makes of z, shows scale and cap. Where tiles can't
follow, the model's own code makes the logits, of the scored tokens only and a chunk at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...contract.sizes import TILE_BYTES
from .attention import backbone_of
from .tiles import LogitRule

__all__ = ["LogitsOf", "head_rule", "in_chunks", "logits_of", "measured_rule", "set_rule"]

SAID = "alignc_head"
SMALL, LARGE = 1e-6, 1e6
"""Logits that no cap bends, and logits that every cap cuts."""
ROUNDING = 1e-11
LogitsOf = Callable[[Tensor], Tensor]
"""Make all logits ``[N, V]`` of hidden states ``[N, H]``."""


@dataclass(frozen=True)
class _Said:
    """What is known of a model's head; it stays on the model. No rule: tiles can't follow."""

    rule: LogitRule | None


def head_rule(base: Any) -> LogitRule | None:
    """Return the rule that tiles of a model's head follow, measured once; None where its own code must be asked."""
    if not isinstance(getattr(base, SAID, None), _Said):
        set_rule(base, measured_rule(base))
    said: _Said = getattr(base, SAID)
    return said.rule


def set_rule(base: Any, rule: LogitRule | None) -> None:
    """Fix how a model's logits are made."""
    setattr(base, SAID, _Said(rule))


@torch.no_grad()
def measured_rule(base: Any) -> LogitRule | None:
    """Measure scale and cap of a model's logits; None where there is more to its head."""
    head = base.get_output_embeddings()
    if not _plain(head):
        return None
    training = base.training
    base.eval()
    try:
        with torch.autocast(head.weight.device.type, enabled=False):
            return _measured(base, head)
    except Exception:  # a forward of any model's may raise anything; then its own code has the last word
        return None
    finally:
        base.train(training)


def _plain(head: Any) -> bool:
    """Tell whether a head is one matrix of numbers as they are: no adapter's, and not packed into few bits."""
    return (
        isinstance(head, nn.Linear)
        and head.weight.is_floating_point()
        and tuple(head.weight.shape) == (head.out_features, head.in_features)
    )


def _measured(base: Any, head: nn.Linear) -> LogitRule | None:
    ids = torch.arange(3, device=head.weight.device)[None] % head.out_features
    hidden = backbone_of(base)(input_ids=ids, use_cache=False).last_hidden_state.double()
    exact = torch.float64 if head.weight.dtype == torch.float64 else torch.float32
    sizes = torch.tensor([SMALL, 1.0, LARGE], device=ids.device, dtype=exact)
    given = sizes[:, None] * torch.linspace(-1, 1, head.out_features, device=ids.device, dtype=exact)
    seen: list[Tensor] = []

    def known(x: Tensor) -> Tensor:
        seen.append(x)
        return given[None].clone()

    with _replaced(head, known):
        made = base(input_ids=ids, use_cache=False).logits
    if len(seen) != 1 or seen[0].shape != hidden.shape or made.shape != (1, *given.shape):
        return None
    before = _factor(seen[0].double(), hidden, 32 * torch.finfo(head.weight.dtype).eps)
    if before is None or (before != 1.0 and head.bias is not None):
        return None
    rule = _rule_of(given, made[0], max(32 * torch.finfo(made.dtype).eps, ROUNDING))
    return rule and LogitRule(_exact(base.config, rule.scale * before, head.weight.dtype), rule.softcap)


def _factor(found: Tensor, hidden: Tensor, limit: float) -> float | None:
    """Return the number that hidden states were multiplied with, or None where it was more than a number."""
    factor = float((found * hidden).sum() / hidden.square().sum().clamp_min(1e-300))
    off = float((found - factor * hidden).abs().max() / found.abs().max().clamp_min(1e-300))
    if not off <= limit:
        return None
    return 1.0 if abs(factor - 1) <= limit else factor


def _rule_of(given: Tensor, made: Tensor, limit: float) -> LogitRule | None:
    """Fit scale and cap to what became of known logits, in rows of small, middle and large ones."""
    small = given[0].double()
    scale = float((made[0].double() * small).sum() / small.square().sum())
    scale = 1.0 if abs(scale - 1) <= limit else scale
    highest = float(made[2].double().abs().max())
    rule = LogitRule(scale, None if highest > 0.5 * LARGE * abs(scale) else highest)
    for asked, answer in zip(given.double(), made.double(), strict=True):
        off = (rule.apply(asked.clone()) - answer).abs().max() / answer.abs().max().clamp_min(1e-300)
        if not float(off) <= limit:
            return None
    return rule


def _exact(config: Any, scale: float, dtype: torch.dtype) -> float:
    """Replace a measured scale by the number of the configuration, or its inverse, that it is but for rounding."""
    numbers = [float(x) for x in _numbers(config.to_dict()) if x]
    near = min((*numbers, *(1 / x for x in numbers)), key=lambda x: abs(x - scale), default=scale)
    return near if abs(near - scale) <= 8 * torch.finfo(dtype).eps * abs(scale) else scale


def _numbers(value: Any) -> Iterator[float]:
    """List the numbers of a configuration."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _numbers(inner)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


@contextmanager
def _replaced(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Give a module another forward for a while."""
    own = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own


class _Given:
    """The output of a backbone that gives known hidden states, and nothing else."""

    def __init__(self, hidden: Tensor) -> None:
        self.last_hidden_state = hidden

    def __getattr__(self, name: str) -> None:
        return None

    def __getitem__(self, place: int | slice) -> Any:
        return (self.last_hidden_state,)[place]


def logits_of(base: Any) -> LogitsOf:
    """Return the function from hidden states to logits: the rule's, or the model's own code."""
    rule = head_rule(base)
    return partial(_own_logits, base) if rule is None else partial(_ruled_logits, base, rule)


def _ruled_logits(base: Any, rule: LogitRule, hidden: Tensor) -> Tensor:
    head = base.get_output_embeddings()
    product = nn.functional.linear(hidden, head.weight, head.bias)
    wide = product.double() if product.dtype == torch.float64 else product.float()
    scaled = wide * rule.scale
    return scaled if rule.softcap is None else (scaled / rule.softcap).tanh() * rule.softcap


def _own_logits(base: Any, hidden: Tensor) -> Tensor:
    """Run a model's own code from its backbone's output on; logits are float32 (float64)."""
    ids = torch.zeros(1, len(hidden), dtype=torch.long, device=hidden.device)
    with _replaced(backbone_of(base), lambda *_, **__: _Given(hidden[None])):
        logits: Tensor = base(input_ids=ids, use_cache=False).logits[0]
    return logits if logits.dtype == torch.float64 else logits.float()


def in_chunks(function: Callable[..., Tensor], words: int, rows: Sequence[Tensor]) -> Tensor:
    """Apply a function of rows to a few rows at a time; with a gradient the logits are made again in the backward."""
    size = max(1, TILE_BYTES // (4 * words))
    pieces = zip(*(each.split(size) for each in rows), strict=True)
    if not torch.is_grad_enabled():
        return torch.cat([function(*piece) for piece in pieces])
    return torch.cat([checkpoint(function, *piece, use_reentrant=False) for piece in pieces])

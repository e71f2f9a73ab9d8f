"""Muon for the matrices of a network and AdamW for the rest, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn

from ...contract.failure import Failure
from ...contract.job import Train

__all__ = ["Together", "muon_and_adamw"]

OUTSIDE = ("embed", "wte", "wpe", "lm_head", "score", "value_head")
"""Parts of the names of matrices that are looked up or give logits: Muon is meant for the matrices between them."""


def muon_and_adamw(
    named: list[tuple[str, nn.Parameter]],
    train: Train,
    groups: Callable[[Iterable[tuple[str, nn.Parameter]], float], list[dict[str, Any]]],
) -> torch.optim.Optimizer:
    """Build both over what is trained. Muon's steps get the length that AdamW's have at the same rate.

    Raises Failure E602 for a torch without Muon.
    """
    if not hasattr(torch.optim, "Muon"):
        raise Failure(
            "E602",
            "`optim: muon` needs torch 2.9 or newer",
            help="pip install --upgrade torch, or another `optim`",
        )
    trained = [(name, p) for name, p in named if p.requires_grad]
    inside = [(n, p) for n, p in trained if p.dim() == 2 and not any(part in n for part in OUTSIDE)]
    taken = {id(p) for _, p in inside}
    rest = groups([(n, p) for n, p in trained if id(p) not in taken], train.weight_decay)
    parts: list[torch.optim.Optimizer] = []
    if inside:
        parts.append(
            torch.optim.Muon(
                [p for _, p in inside],
                lr=train.learning_rate,
                weight_decay=train.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    if rest:
        betas = (train.adam_beta1, train.adam_beta2)
        parts.append(torch.optim.AdamW(rest, lr=train.learning_rate, betas=betas, eps=train.adam_epsilon))
    return Together(parts)


class Together(torch.optim.Optimizer):
    """Several optimizers of parameters of their own, used as one."""

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        self.parts = parts
        self.param_groups = [group for part in parts for group in part.param_groups]
        self.defaults = {}
        self.state = States(parts)  # type: ignore[assignment]

    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Step each of them."""
        for part in self.parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of each."""
        for part in self.parts:
            part.zero_grad(set_to_none)


class States(MutableMapping[Tensor, dict[str, Any]]):
    """The states of all parameters; each is kept by the optimizer that the parameter belongs to."""

    def __init__(self, parts: list[torch.optim.Optimizer]) -> None:
        self.of = {p: part for part in parts for group in part.param_groups for p in group["params"]}

    def __getitem__(self, parameter: Tensor) -> dict[str, Any]:
        """Give a parameter's state; it is made where there is none."""
        state: dict[str, Any] = self.of[parameter].state[parameter]
        return state

    def __setitem__(self, parameter: Tensor, state: dict[str, Any]) -> None:
        """Put a parameter's state where its optimizer finds it."""
        self.of[parameter].state[parameter] = state

    def __delitem__(self, parameter: Tensor) -> None:
        """Forget a parameter's state."""
        del self.of[parameter].state[parameter]

    def __iter__(self) -> Iterator[Tensor]:
        """Go over the parameters that have a state."""
        return (p for p, part in self.of.items() if p in part.state)

    def __len__(self) -> int:
        """Count the parameters that have a state."""
        return sum(1 for _ in self)

"""Score the rows of a rollout without gradient: log-probabilities under a model, and the critic's values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from torch import nn

from ...contract.failure import Failure
from ...contract.outputs import OUTPUTS, Quantity
from ..data.example import Example
from ..kernels.attention import causal_lm
from ..models.load import initial_model, ready
from ..ranks.run import Run
from ..ranks.shared import shared
from ..ranks.world import World
from ..scoring.anchors import frozen_model
from ..scoring.micro import BatchLayout, choose_layout
from ..scoring.outputs import score_outputs
from ..scoring.scorer import Reference, Scorer

__all__ = [
    "Reference",
    "Scored",
    "initial_policy",
    "reference_of",
    "same_words",
    "scores_of",
    "with_divergences",
]

Scored = Mapping[str, tuple[np.ndarray, ...]]
"""What a model says of one row, `logps` and what else it gives a token: an array a response."""


def reference_of(run: Run, world: World, tokenizer: Any, policy: nn.Module, layout: BatchLayout) -> Reference:
    """Make the reference of an online job, which stays in memory: every rollout asks it anew."""
    if run.job.spec.model.reference.kind == "adapter_off":
        bare: Any = policy
        return Reference(policy, Scorer(policy), bare.disable_adapter)
    model = frozen_model(run, world, tokenizer, None, layout)
    model.requires_grad_(False).eval()
    return Reference(model, Scorer(model))


def initial_policy(run: Run, world: World, tokenizer: Any, layout: BatchLayout) -> nn.Module:
    """Make the policy as training began, for a run that goes on from a checkpoint."""
    model = initial_model(run.job, tokenizer, critic=False)
    choose_layout(run.job, model, tokenizer, world.device, layout.autocast)
    return ready(model, run.job, world.device).to(layout.dtype)


def same_words(policy: nn.Module, reference: nn.Module) -> None:
    """Refuse a reference that has other words than the policy: Failure E607."""
    sizes = [causal_lm(model).get_output_embeddings().weight.shape[0] for model in (policy, reference)]
    if sizes[0] != sizes[1]:
        raise Failure(
            "E607",
            f"the policy chooses among {sizes[0]} words and its reference among {sizes[1]}",
            why="`estimator: full` compares their probabilities word by word",
            help="take a reference with the policy's vocabulary, or another estimator",
        )


def with_divergences(
    run: Run,
    world: World,
    model: nn.Module,
    reference: Reference,
    scored: Sequence[Scored],
    rows: Sequence[Example],
    pieces: Sequence[Sequence[int]],
    layout: BatchLayout,
) -> list[Scored]:
    """Add `old_divergence`, KL(policy‖reference) of what comes next at each token, to what the policy says of rows."""
    scorer = Scorer(model, outputs=[Quantity.DIVERGENCE], beside=reference)
    found = scores_of(run, world, scorer, rows, pieces, layout)
    stored = OUTPUTS[Quantity.DIVERGENCE].stored
    return [{**own, stored: each[Quantity.DIVERGENCE]} for own, each in zip(scored, found, strict=True)]


def scores_of(
    run: Run,
    world: World,
    scorer: nn.Module,
    rows: Sequence[Example],
    pieces: Sequence[Sequence[int]],
    layout: BatchLayout,
    within: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> list[Scored]:
    """Score all rows, this rank those of its ``pieces``; every rank gets all of them, by place.

    The scorer is the bare one, not the engine's: here ranks need not go along with one another. ``within`` surrounds
    each forward: it may lend the model other weights, or take its adapter off.
    """

    def score(places: list[int]) -> dict[int, Scored]:
        with within():
            found = score_outputs(scorer, rows, [places], layout)
        return {place: {name: found[name][place] for name in found} for place in places}

    found = shared(run, world, pieces, score)
    return [found[place] for place in range(len(rows))]

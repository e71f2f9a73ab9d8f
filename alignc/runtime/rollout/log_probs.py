"""Score the rows of a rollout without gradient: log-probabilities under a model, and the critic's values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from ...contract.failure import Failure
from ...contract.outputs import OUTPUTS, Quantity
from ...contract.rows import SampledData
from ..data.example import Example
from ..kernels.attention import causal_lm
from ..models.ema import Kept, snapshot
from ..models.load import initial_model
from ..ranks.shared import shared
from ..scoring.anchors import frozen_model, on_device
from ..scoring.context import Context
from ..scoring.outputs import score_outputs
from ..scoring.scorer import ReferenceModel, Scorer

__all__ = [
    "ReferenceModel",
    "TokenOutputs",
    "initial_policy",
    "reference_of",
    "same_words",
    "score_on_ranks",
    "with_divergences",
]

TokenOutputs = Mapping[str, tuple[np.ndarray, ...]]
"""The outputs of a model for one row, `logps` and others that it gives a token: an array a response."""


def reference_of(context: Context, policy: nn.Module, *, fresh: bool) -> ReferenceModel:
    """Make the reference of an online job, which stays in memory: every rollout asks it anew.

    Under an adapter the start is no second model: the policy computes with the adapter as it was. ``fresh`` tells that
    the policy is as training began. A mixture reads both models side by side, so there the start is a model of its own.
    """
    section, mixed = context.job.spec.model, any(rows.mixture is not None for rows in sampled_rows(context))
    if section.reference.kind == "adapter_off":
        bare: Any = policy
        return ReferenceModel(policy, Scorer(policy), bare.disable_adapter)
    if section.adapter is not None and section.reference.kind != "path" and not mixed:
        start = snapshot(policy if fresh else initial_policy(context))
        return ReferenceModel(policy, Scorer(policy), partial(as_begun, policy, start))
    model = frozen_model(context, None)
    model.requires_grad_(False).eval()
    return ReferenceModel(model, Scorer(model))


@contextmanager
def as_begun(policy: nn.Module, start: Kept) -> Iterator[None]:
    """Let the policy compute with the adapter that it began with, without dropout."""
    training = policy.training
    policy.eval()
    try:
        with start.lent(policy):
            yield
    finally:
        policy.train(training)


def sampled_rows(context: Context) -> list[SampledData]:
    """List the sources of prompts of a job."""
    parts = context.job.parts or (context.job,)
    return [part.spec.data for part in parts if isinstance(part.spec.data, SampledData)]


def initial_policy(context: Context) -> nn.Module:
    """Make the policy as training began, for a run that goes on from a checkpoint."""
    return on_device(context, initial_model(context.job, context.tokenizer, critic=False))


def same_words(policy: nn.Module, reference: nn.Module) -> None:
    """Refuse a reference that has other words than the policy: Failure E607."""
    sizes = [causal_lm(model).get_output_embeddings().weight.shape[0] for model in (policy, reference)]
    if sizes[0] != sizes[1]:
        raise Failure(
            "E607",
            f"the policy has {sizes[0]} tokens in its vocabulary, but its reference has {sizes[1]}",
            why="`estimator: full` compares the probabilities of both models for each token of the vocabulary",
            help="choose a reference with the vocabulary of the policy, or another estimator",
        )


def with_divergences(
    context: Context,
    model: nn.Module,
    reference: ReferenceModel,
    scored: Sequence[TokenOutputs],
    rows: Sequence[Example],
    pieces: Sequence[Sequence[int]],
) -> list[TokenOutputs]:
    """Add `old_divergence`, KL(policy‖reference) of the next token at each place, to the policy's own outputs."""
    scorer = Scorer(model, outputs=[Quantity.DIVERGENCE], beside=reference)
    beside = score_on_ranks(context, scorer, rows, pieces)
    stored = OUTPUTS[Quantity.DIVERGENCE].stored
    return [{**own, stored: each[Quantity.DIVERGENCE]} for own, each in zip(scored, beside, strict=True)]


def score_on_ranks(
    context: Context,
    scorer: nn.Module,
    rows: Sequence[Example],
    pieces: Sequence[Sequence[int]],
    within: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> list[TokenOutputs]:
    """Score all rows, this rank those of its ``pieces``; every rank gets all of them, by place.

    The scorer is the bare one, not the engine's: here ranks need not go along with one another. ``within`` surrounds
    each forward: it may lend the model other weights, or take its adapter off.
    """

    def score(places: list[int]) -> dict[int, TokenOutputs]:
        with within():
            outputs = score_outputs(scorer, rows, [places], context.layout)
        return {place: {name: outputs[name][place] for name in outputs} for place in places}

    scored = shared(context.run, context.world, pieces, score)
    return [scored[place] for place in range(len(rows))]

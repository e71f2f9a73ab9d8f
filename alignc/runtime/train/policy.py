"""The policy of a run: as training began, or as the newest whole checkpoint has it, and the models beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ...contract.files import CHECKPOINTS, PROBE
from ...contract.job import Job
from ...contract.models import EMA
from ...contract.outputs import Quantity
from ..base import fsops
from ..base.console import say
from ..engines.engine import Engine, build_engine
from ..models.ema import averaged, read_kept
from ..models.load import initial_model, narrow_for_zero, ready, resumed_model
from ..models.precision import autocast_dtype
from ..models.reach import check_reach
from ..models.start import write_base
from ..ranks.run import Run
from ..ranks.world import World
from ..rollout.log_probs import reference_of, same_words
from ..rollout.rollout import wants_reference
from ..scoring.context import Context
from ..scoring.micro import choose_layout, found_of
from ..scoring.policy import TrainedPolicy
from ..scoring.rewards import RewardScorer
from ..scoring.scorer import ReferenceModel, Scorer
from .checkpoint import TrainerState, newest, read_optimizer, read_state
from .identity import identity_of
from .row_source import RowSource
from .row_sources import first_rows, sampled_among

__all__ = ["last_checkpoint", "load_model", "policy_of", "scorers_of", "start_engine"]


def last_checkpoint(run: Run, world: World) -> tuple[Path | None, TrainerState]:
    """Find the newest whole checkpoint of a run that goes on, and the state that it was saved in."""
    resumes = run.options.resume and world.main
    latest = newest(run.job.output_dir / CHECKPOINTS, say) if resumes else None
    saved: Path | None = world.gather(latest)[0]
    state = read_state(saved, identity_of(run.folder)) if saved else TrainerState()
    run.step = state.step
    return saved, state


def load_model(
    run: Run, world: World, tokenizer: Any, saved: Path | None, sources: Sequence[RowSource] = ()
) -> tuple[nn.Module, Mapping[str, Tensor], Context]:
    """Load the policy, its weights in full precision, and the context with the layout of its batches.

    The model is probed with rows of the ``sources`` before anything is made of its numbers. Failures E004 and E615 of
    `check_reach`, E605 and E607 of the probe.
    """
    job = run.job
    if saved is None:
        if world.main:
            write_base(job, tokenizer)
        world.wait()
    model = resumed_model(job, tokenizer, saved) if saved else initial_model(job, tokenizer)
    check_reach(model, tokenizer, job.spec.train.max_length)
    model = ready(model, job, world.device)
    weights, autocast = narrow_for_zero(job, model, autocast_dtype(job, model, world.device))
    rows = first_rows(sources)
    layout = choose_layout(job, model, tokenizer, world.device, autocast, rows=rows, world=world)
    if world.main:
        for note in layout.notes:
            say(note)
        if sources:  # a finished run that is asked again stays as it is
            found = json.dumps(found_of(model, layout), indent=1)
            fsops.replace_text(job.output_dir / PROBE, found + "\n")
    return model, weights, Context(run, world, tokenizer, layout, rows)


def policy_of(
    context: Context, sources: Sequence[RowSource], model: nn.Module, saved: Path | None
) -> TrainedPolicy:
    """Put the models beside the policy that its sampled rows are compared with: a reference, an average of its weights.

    Failure E607 where a loss compares whole distributions and the reference has other words.
    """
    sampled, reference, average = sampled_among(sources), None, None
    if sampled is not None:
        objective = sampled.objective
        reference = (
            reference_of(context, model, fresh=saved is None) if wants_reference(sampled.job) else None
        )
        whole = Quantity.DIVERGENCE in objective.needs.outputs or objective.reads_old_divergence
        if whole and reference is not None:
            same_words(model, reference.model)
        if EMA in objective.needs.anchors:
            average = read_kept(model, saved) if saved else averaged(model)
    trained, scorer = scorers_of(context.job, model, reference)
    return TrainedPolicy(model, scorer, trained, reference, average)


def scorers_of(job: Job, model: nn.Module, reference: ReferenceModel | None) -> tuple[nn.Module, nn.Module]:
    """Make the scorer that is trained, and the one that scores rollouts.

    In training the reference runs along where its whole distribution is compared, not the drawn tokens alone.
    """
    outputs = job.needs.outputs
    if Quantity.SCORE in outputs:
        scorer: nn.Module = RewardScorer(model)
        return scorer, scorer
    scorer = Scorer(model, outputs=[name for name in outputs if name != Quantity.DIVERGENCE])
    if Quantity.DIVERGENCE not in outputs:
        return scorer, scorer
    return Scorer(model, outputs=outputs, beside=reference), scorer


def start_engine(
    context: Context, policy: TrainedPolicy, weights: Mapping[str, Tensor], saved: Path | None
) -> Engine:
    """Build the engine, with weights and optimizer as a checkpoint has them where training goes on."""
    engine = build_engine(context.job, context.run.folder, context.world, policy.trained, policy.model)
    if saved:
        engine.restore(weights, read_optimizer(saved))
    return engine

"""The files that a run writes while it goes on, and when: metrics, rollouts, checkpoints, the final model."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...contract.failure import Failure
from ...contract.files import CHECKPOINTS
from ..base.console import say
from ..base.signals import Interrupted
from ..engines.engine import Engine
from ..models.ema import write_kept
from ..models.load import save_model
from ..ranks.run import halt
from ..rollout.record import RolloutLog
from ..rollout.rollout import leave_rollout, passes_multiple
from ..scoring.context import Context
from ..scoring.policy import TrainedPolicy
from .checkpoint import TrainerState, commit, write_optimizer
from .evaluate import note_best
from .finish import write_model
from .identity import identity_of
from .metrics import Recorder
from .row_source import RowSource, TrainStep
from .row_sources import all_counts, evaluate_sources, sampled_among, total_steps

__all__ = ["Session", "open_session"]


@dataclass(frozen=True, eq=False)
class Session:
    """A run in its loop. Rank 0 alone writes: the other ranks have no recorder and no log."""

    context: Context
    sources: Sequence[RowSource]
    policy: TrainedPolicy
    engine: Engine
    identity: Mapping[str, Any]
    total_steps: int
    recorder: Recorder | None
    log: RolloutLog | None

    def renew(self, sources: Sequence[RowSource], step: TrainStep, state: TrainerState) -> list[RowSource]:
        """Let the policy answer the prompts of a rollout, and write the answers down.

        All of this leaves the weights as they are: a run that ends meanwhile saves the state before the rollout.
        """
        with self.saving(state):
            renewed = [source.renewed(self.context, step, state) for source in sources]
        sampled = sampled_among(renewed)
        if self.log is not None and sampled is not None and sampled.rollout is not None:
            self.log.write(sampled.rollout.records)
        return renewed

    def save(self, state: TrainerState) -> None:
        """Write a checkpoint; gathering takes every rank, writing only the first."""
        run, settings = self.context.run, self.context.job.spec.train
        weights, slots = self.engine.weights(), self.engine.slots()

        def write(folder: Path) -> None:
            save_model(self.policy.model, weights, self.context.tokenizer, folder)
            write_optimizer(folder, slots)
            if self.policy.average is not None:
                write_kept(self.policy.average, folder)

        if self.recorder is not None:
            self.recorder.sync()
            if self.log is not None:
                self.log.sync()
            commit(run.job.output_dir / CHECKPOINTS, state, write, settings.save_total_limit, self.identity)
        run.step = state.step
        self.context.world.wait()

    @contextmanager
    def saving(self, state: TrainerState) -> Iterator[None]:
        """Save a state before a signal or a failing reward ends the run."""
        try:
            yield
        except (Failure, Interrupted) as ending:
            if state.step:
                self.save(state)
            if isinstance(ending, Interrupted):
                ending.saved = f"step {state.step} is saved" if state.step else None
            raise

    def evaluate(
        self, state: TrainerState, row: Mapping[str, float]
    ) -> tuple[TrainerState, dict[str, float]]:
        """Add the held-out metrics to those of a step, and note the best; an ending saves first.

        A run that goes on evaluates then: the metrics of the step are kept as `pending`.
        """
        with self.saving(dataclasses.replace(state, pending=row)):
            values = evaluate_sources(self.context, self.sources, self.engine.scorer, state)
        return note_best(state, values, self.context.job.spec.train), {**row, **values}

    def begin(self, state: TrainerState, saved: Path | None) -> TrainerState:
        """Do the evaluation that a signal cut short, or the one before the first step."""
        if state.pending:
            state, row = self.evaluate(state, state.pending)
            state = dataclasses.replace(state, pending=None)
            self.record(row, 0.0)
        elif self.context.job.spec.train.eval_on_start and not saved and self.has_held_out():
            _, row = self.evaluate(state, {"step": 0})
            self.record(row, 0.0)
        return state

    def has_held_out(self) -> bool:
        """Tell whether any source has held-out rows or prompts."""
        return any(source.held_out_size for source in self.sources)

    def record(self, row: Mapping[str, float], seconds: float) -> None:
        """Write the metrics of a step, which took so many seconds."""
        if self.recorder is not None:
            self.recorder.write(row, seconds)

    def is_logged(self, step: int) -> bool:
        """Tell whether a step is logged, whatever else happens after it."""
        return step == 1 or step % self.context.job.spec.train.logging_steps == 0

    def pass_step(self, step: TrainStep, row: Mapping[str, float], started: float) -> None:
        """Log a step in the midst of a rollout; a signal ends the run where the rest of it would take long.

        ``started`` is the time before the step's forwards; the rollout may have come between its beginning and them.
        """
        if self.is_logged(step.number):
            self.record(row, time.monotonic() - step.began)
        leave_rollout(self.context, step.left, time.monotonic() - started)

    def end_rollout(self, step: TrainStep, state: TrainerState, row: Mapping[str, float]) -> TrainerState:
        """Evaluate, log and save where it is due, after a step where the run can be saved. A signal ends the run."""
        settings, number = self.context.job.spec.train, step.number
        ends = number == self.total_steps
        evaluates = self.has_held_out() and (
            ends or passes_multiple(step.before, number, settings.eval_steps)
        )
        if evaluates:
            state, row = self.evaluate(state, row)
        if evaluates or ends or self.is_logged(number):
            self.record(row, time.monotonic() - step.began)
        best = state.best is not None and state.best["step"] == number
        stops = self.context.world.agree(self.context.run.stop.signum)
        due = passes_multiple(step.before, number, settings.save_steps)
        if ends or best or stops or state.stopped_early or due:
            self.save(state)
        if stops and not ends:
            halt(self.context.run, self.context.world, f"step {number} is saved")
        return state

    def write_model(self, state: TrainerState) -> None:
        """Write the final model, or the best one; gathering takes every rank, writing only the first."""
        run, weights = self.context.run, self.engine.weights()
        if self.recorder is not None:
            counts = all_counts(self.sources)
            folder = write_model(run, self.policy.model, weights, self.context.tokenizer, state, counts)
            say(f"the model is in {folder}")
            self.recorder.close()
        self.context.world.wait()
        run.step = state.step


def open_session(
    context: Context,
    sources: Sequence[RowSource],
    policy: TrainedPolicy,
    engine: Engine,
    state: TrainerState,
    saved: Path | None,
) -> Session:
    """Open the files of a run that goes on after a state; lines that are later than it are dropped."""
    run, total, recorder, log = context.run, total_steps(sources), None, None
    if context.world.main:
        recorder = Recorder(run.job, total, after=state.step if saved else -1)
        if sampled_among(sources) is not None:
            log = run.resources.enter_context(RolloutLog(run.job.output_dir, after=state.rollout))
    return Session(context, sources, policy, engine, identity_of(run.folder), total, recorder, log)

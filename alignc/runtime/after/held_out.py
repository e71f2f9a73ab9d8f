"""A finished run asked again: the metrics of its own loss on its own held-out rows, in this process alone."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from torch import nn

from ...contract.failure import Failure
from ...contract.job import ONLINE, Job, read_job
from ...contract.outputs import Quantity
from ..data import DataSettings, load_examples, settings_from_job
from ..data.prompts import load_prompts
from ..data.tokenizer import load_tokenizer
from ..models.load import autocast_dtype, narrow_for_zero, ready, resumed_model
from ..ranks.pulse import Pulse
from ..ranks.run import Options, Run
from ..ranks.world import World, pick_device
from ..rollout.held_out import HeldOut, evaluate_answers, held_out_answers
from ..rollout.log_probs import initial_policy, reference_of
from ..rollout.rollout import judge_of, wants_reference
from ..samplers.sampler import LocalSampler
from ..scoring.anchors import anchors_of
from ..scoring.micro import BatchLayout, choose_layout
from ..scoring.rewards import RewardScorer
from ..scoring.scorer import Scorer
from ..scoring.statistics import Seen
from ..train.checkpoint import STATE, saved
from ..train.evaluate import evaluate
from ..train.mixing import evaluate_parts, load_parts, with_anchors
from ..train.run_job import quiet

__all__ = ["held_out_metrics"]

Metrics = dict[str, float]


@dataclasses.dataclass(frozen=True)
class Asked:
    """A run's model and what it is asked with. What the run's processes left in its folder stays as it is."""

    run: Run
    world: World
    tokenizer: Any
    model: nn.Module
    layout: BatchLayout
    aside: Path

    def settings(self, job: Job) -> DataSettings:
        """Take the settings of rows out of a job; refused ones are set aside elsewhere than in training."""
        found = settings_from_job(job)
        return (
            dataclasses.replace(found, quarantine=str(self.aside / "refused")) if found.quarantine else found
        )


def held_out_metrics(output: Path, *, limit: int | None = None) -> Metrics:
    """Evaluate the model that a run has written, as training evaluates; ``limit`` rows at the most.

    For the last step's weights, in the run's own number format, they are the run's last ``eval_*`` values. Raises
    Failure: E707 where the spec holds no rows out, and what reading models, data and rewards raises.
    """
    quiet()
    job = read_job(output / "job" / "job.json")
    world = World(0, 1, pick_device(0))
    with TemporaryDirectory() as aside, ExitStack() as held:
        run = Run(job, output / "job", Options(limit=limit), Pulse(Path(aside), 0))
        tokenizer = load_tokenizer(job.spec.model, job.spec.data.chat_template)
        model = ready(resumed_model(job, tokenizer, output / "model"), job, world.device)
        _, autocast = narrow_for_zero(job, model, autocast_dtype(job, world.device))
        layout = choose_layout(job, model, tokenizer, world.device, autocast)
        asked = Asked(run, world, tokenizer, model, layout, Path(aside))
        online = job.spec.data.kind in ONLINE
        found = of_answers(asked, held) if online else of_parts(asked) if job.parts else of_rows(asked)
    if not found:
        message = f"the spec of `{output}` holds no rows out"
        raise Failure("E707", message, help="set `data.eval`, or give --pairs or --prompts")
    return found


def of_rows(asked: Asked) -> Metrics:
    """Evaluate on given rows."""
    job = asked.run.job
    rows = load_examples(asked.settings(job), asked.tokenizer, which="eval", limit=asked.run.options.limit)
    if not len(rows):
        return {}
    [anchors], _ = anchors_of(
        asked.run, asked.world, asked.tokenizer, None, asked.layout, (rows.examples,), None
    )
    with generated(asked.run.folder) as loss:
        statistics = loss.statistics if job.plan.statistics else None
        found = evaluate(
            job,
            loss.loss,
            scorer_of(asked),
            rows.examples,
            anchors,
            asked.layout,
            asked.world,
            asked.run.goes_on,
            statistics,
            seen_by(job),
        )
    return found or {}


def of_parts(asked: Asked) -> Metrics:
    """Evaluate on given rows of several sources, each by its own loss."""
    job, limit = asked.run.job, asked.run.options.limit
    with generated(asked.run.folder) as losses:
        parts = load_parts(job, losses.LOSSES, asked.tokenizer, 1, limit, None)
        anchored = [part.held_out.examples for part in parts if part.job.plan.anchors]
        anchors, _ = anchors_of(asked.run, asked.world, asked.tokenizer, None, asked.layout, anchored, None)
        parts = with_anchors(parts, [each for own in anchors for each in ({}, own)])
        world, goes_on = asked.world, asked.run.goes_on
        found = evaluate_parts(parts, scorer_of(asked), asked.layout, world, goes_on, seen_by(job))
    return found or {}


def of_answers(asked: Asked, held: ExitStack) -> Metrics:
    """Evaluate the policy's own answers to held-out prompts. What judges them is closed with ``held``."""
    run, world, tokenizer, layout = asked.run, asked.world, asked.tokenizer, asked.layout
    settings, room = asked.settings(run.job), run.job.spec.data.max_new_tokens
    prompts = load_prompts(settings, tokenizer, which="eval", limit=run.options.limit, room=room).prompts
    if not prompts:
        return {}
    court, opponents = judge_of(run.job, world.device, held), None
    reference = reference_of(run, world, tokenizer, asked.model, layout) if wants_reference(run.job) else None
    if court.oracle is not None:
        initial = LocalSampler(initial_policy(run, world, tokenizer, layout))
        opponents = held_out_answers(run, world, tokenizer, initial, prompts, layout, "initial")
    question, sampler = HeldOut(prompts, court, opponents, reference), LocalSampler(asked.model)
    return evaluate_answers(run, world, tokenizer, sampler, scorer_of(asked), layout, question)


def scorer_of(asked: Asked) -> nn.Module:
    """Wrap the model as training does."""
    outputs = asked.run.job.plan.outputs
    return RewardScorer(asked.model) if Quantity.SCORE in outputs else Scorer(asked.model, outputs=outputs)


def seen_by(job: Job) -> Seen:
    """Read the running means that training ended with, where a checkpoint of it is left."""
    for _, folder in saved(job.output_dir / "checkpoints"):
        seen: Seen = json.loads((folder / STATE).read_text(encoding="utf-8")).get("seen")
        return seen
    return None


@contextmanager
def generated(folder: Path) -> Iterator[ModuleType]:
    """Import a job's `loss.py`, and forget it again: the next run has one of the same name."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        sys.modules.pop("loss", None)
        yield importlib.import_module("loss")
    finally:
        sys.path.remove(str(folder))
        for name in [n for n in sys.modules if n not in before and n.partition("_")[0] == "loss"]:
            del sys.modules[name]

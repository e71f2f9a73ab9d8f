"""A finished run asked again: the metrics of its own loss on its own held-out rows, in this process alone."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

from torch import nn

from ...contract.failure import Failure
from ...contract.files import CHECKPOINTS, JOB_FOLDER, MODEL, TRAINER_STATE, job_file
from ...contract.job import Job, read_job
from ...contract.outputs import Quantity
from ..data import Counts, Dataset, DataSettings, load_examples, settings_from_job
from ..data.batches import row_order
from ..data.prompts import load_prompts
from ..data.tokenizer import load_tokenizer
from ..ranks.pulse import Pulse
from ..ranks.run import Options, Run
from ..ranks.world import World, pick_device
from ..rollout.answers import sampling_of
from ..rollout.held_out import EvalPrompts, evaluate_answers, held_out_answers
from ..rollout.log_probs import initial_policy, reference_of
from ..rollout.rollout import open_reward_sources, wants_reference
from ..rollout.scores import RewardSources
from ..samplers.sampler import LocalSampler
from ..scoring.context import Context
from ..scoring.objective import SourceObjective, objectives_of
from ..scoring.rewards import RewardScorer
from ..scoring.scorer import Scorer
from ..train.checkpoint import TrainerState, saved
from ..train.given import GivenRows
from ..train.policy import load_model
from ..train.row_source import Evaluated
from ..train.row_sources import evaluate_sources, with_anchors
from ..train.run_job import quiet

__all__ = ["held_out_metrics"]


@dataclasses.dataclass(frozen=True, eq=False)
class Answered:
    """Held-out prompts that the model of a run answers, in the place of the source that trained it."""

    objective: SourceObjective
    model: nn.Module
    held_out: EvalPrompts

    @property
    def held_out_size(self) -> int:
        """The number of held-out prompts."""
        return len(self.held_out.prompts)

    def evaluate(self, context: Context, scorer: nn.Module, state: TrainerState) -> Mapping[str, float]:
        """Evaluate the answers to the held-out prompts."""
        return evaluate_answers(context, LocalSampler(self.model), scorer, self.held_out)


def held_out_metrics(output: Path, *, limit: int | None = None) -> dict[str, float]:
    """Evaluate the model that a run has written, as training evaluates; ``limit`` rows at the most.

    For the last step's weights, in the run's own number format, they are the run's last ``eval_*`` values. Raises
    Failure: E707 where the spec holds no rows out, and what reading models, data and rewards raises.
    """
    quiet()
    job = read_job(job_file(output))
    world = World(0, 1, pick_device(0))
    with TemporaryDirectory() as aside, generated(output / JOB_FOLDER) as loss:
        run = Run(job, output / JOB_FOLDER, Options(limit=limit), Pulse(Path(aside), 0))
        tokenizer = load_tokenizer(job.spec.model, job.spec.data.chat_template)
        model, _, context = load_model(run, world, tokenizer, output / MODEL)
        with run.resources:
            metrics = evaluated(context, model, loss, Path(aside))
    if not metrics:
        message = f"the spec of `{output}` has no held-out rows"
        raise Failure("E707", message, help="set `data.eval`, or give --pairs or --prompts")
    return metrics


def evaluated(context: Context, model: nn.Module, loss: ModuleType, aside: Path) -> dict[str, float]:
    """Evaluate the model on the held-out rows or prompts of every source."""
    job, sources = context.job, list[Evaluated]()
    for part, objective in zip(job.parts or (job,), objectives_of(job, loss), strict=True):
        if part.spec.data.online:
            sources.append(answered(context, part, objective, model, aside))
        else:
            sources.append(given(context, part, objective, aside))
    scored = [s for s in sources if isinstance(s, GivenRows) and s.held_out_size]
    trained = job.output_dir / MODEL  # not the policy as training began, so that it is no reference
    anchored, _ = with_anchors(context, scored, model, trained, TrainerState())
    rest = iter(anchored)
    sources = [next(rest) if source in scored else source for source in sources]
    return evaluate_sources(context, sources, scorer_of(job, model), last_state(job))


def given(context: Context, job: Job, objective: SourceObjective, aside: Path) -> GivenRows:
    """Load the held-out rows of a source; its training rows stay where they are."""
    settings, limit = settings_aside(job, aside), context.run.options.limit
    held_out = load_examples(settings, context.tokenizer, which="eval", limit=limit)
    return GivenRows(
        objective, Dataset((), Counts(0, 0, 0, 0, 0)), held_out, row_order(job.spec.train, 0, 1, 1)
    )


def answered(
    context: Context, job: Job, objective: SourceObjective, model: nn.Module, aside: Path
) -> Answered:
    """Load the held-out prompts of a source, and open the reward sources for the answers to them."""
    settings, room = settings_aside(job, aside), job.prompts.max_new_tokens
    limit = context.run.options.limit
    prompts = load_prompts(settings, context.tokenizer, which="eval", limit=limit, room=room).prompts
    sampling = sampling_of(job, context.tokenizer)
    sources, opponents, reference = RewardSources(None, None), None, None
    if prompts:
        sources = open_reward_sources(job, context.world.device, context.run.resources)
        reference = reference_of(context, model, fresh=False) if wants_reference(job) else None
    if sources.oracle is not None:
        initial = LocalSampler(initial_policy(context))
        opponents = held_out_answers(context, initial, prompts, sampling, "initial")
    return Answered(objective, model, EvalPrompts(prompts, sampling, sources, opponents, reference))


def settings_aside(job: Job, aside: Path) -> DataSettings:
    """Take the settings of rows out of a job; refused ones are set aside elsewhere than in training."""
    settings = settings_from_job(job)
    return (
        dataclasses.replace(settings, quarantine=str(aside / "refused")) if settings.quarantine else settings
    )


def scorer_of(job: Job, model: nn.Module) -> nn.Module:
    """Wrap the model as training does."""
    outputs = job.needs.outputs
    return RewardScorer(model) if Quantity.SCORE in outputs else Scorer(model, outputs=outputs)


def last_state(job: Job) -> TrainerState:
    """Read the running means that training ended with, where a checkpoint of it is left."""
    for _, folder in saved(job.output_dir / CHECKPOINTS):
        return TrainerState(seen=json.loads((folder / TRAINER_STATE).read_text(encoding="utf-8")).get("seen"))
    return TrainerState()


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

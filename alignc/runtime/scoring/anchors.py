"""The anchors of a job's loss: log-probabilities that another model, or the policy of before, gives its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ...contract.cache import cache_folder
from ...contract.exits import FAILED
from ...contract.failure import Failure
from ..data.example import Example
from ..models.adapters import pretrained
from ..models.load import initial_model, ready
from ..models.reach import check_reach
from ..ranks.run import halt
from .context import Context
from .micro import Anchors, choose_layout
from .outputs import RowValues
from .reference import read_rows, reference_log_probs

__all__ = ["anchors_of", "frozen_model", "on_device"]

Parts = Sequence[Sequence[Example]]
REFERENCE = "reference"


def anchors_of(
    context: Context, names: Sequence[str], parts: Parts, policy: nn.Module | None, key: str | None
) -> tuple[list[Anchors], str | None]:
    """Give the anchors ``names`` of each part (training rows, held-out rows), and the key of the cache of them.

    ``policy`` is the policy before its first update, or None where training goes on from a checkpoint: then
    ``key`` is the key from before, and a model is made again only if the cache has lost its rows.
    """
    models = models_of(names, context.job.needs.others)
    if not models:
        return [{} for _ in parts], None
    keys = dict(zip(models, key.split(), strict=True)) if key else {}
    anchors: list[dict[str, Sequence[RowValues]]] = [{} for _ in parts]
    for model, of_model in models.items():
        rows = cached_rows(keys[model], parts) if model in keys else None
        if rows is None:
            keys[model] = compute(context, policy, parts, model)
            rows = cached_rows(keys[model], parts)
        if rows is None:
            folder = cache_folder() / "reference"
            raise Failure(
                "E805", f"the reference cache in {folder} lost rows that were just written", exit_code=FAILED
            )
        for own, part in zip(anchors, rows, strict=True):
            own |= dict.fromkeys(of_model, part)
    return list(anchors), " ".join(keys[model] for model in models)


def models_of(names: Sequence[str], others: Mapping[str, str]) -> dict[str, list[str]]:
    """List the models that score the rows, each with the anchors it stands for: the reference, and others' names.

    ["initial", "teacher"], where `teacher` is a model of its own: {"reference": ["initial"], "teacher": ["teacher"]}.
    """
    own = [name for name in names if name not in others]
    return ({REFERENCE: own} if own else {}) | {name: [name] for name in names if name in others}


def cached_rows(key: str, parts: Parts) -> list[list[RowValues]] | None:
    """Read all parts from the cache, or None where anything is missing."""
    folder = cache_folder() / "reference" / key
    whole = [rows for part in parts if (rows := read_rows(folder, part)) is not None]
    return whole if len(whole) == len(parts) else None


def compute(context: Context, policy: nn.Module | None, parts: Parts, name: str = REFERENCE) -> str:
    """Compute the rows that the cache lacks, the ranks side by side; return the cache's key."""
    run, world = context.run, context.world
    others = context.job.needs.others
    model = frozen_model(context, policy) if name == REFERENCE else other_model(context, others[name])
    key = ""
    for part in parts:
        key = reference_log_probs(
            run.job,
            part,
            model,
            context.layout,
            rank=world.rank,
            world=world.size,
            each=run.goes_on,
            what=name,
        )
        halt(run, world)
    world.wait()
    return key


def frozen_model(context: Context, policy: nn.Module | None) -> nn.Module:
    """Give the model that the anchor speaks of: the policy itself before its first update, where that will do."""
    section = context.job.spec.model
    if section.reference.kind == "path":
        return other_model(context, str(section.reference.path))
    if policy is not None:
        return policy
    return on_device(context, initial_model(context.job, context.tokenizer, critic=False))


def other_model(context: Context, path: str) -> nn.Module:
    """Load a model that is not the policy's own, to score rows with."""
    return on_device(context, pretrained(path, context.job.spec.model))


def on_device(context: Context, model: Any) -> nn.Module:
    """Put a model where and in which type the policy computes."""
    job, device, layout = context.job, context.world.device, context.layout
    check_reach(model, context.tokenizer, job.spec.train.max_length)
    model = ready(model, job, device).to(layout.dtype)  # in another type it is another function
    choose_layout(
        job, model, context.tokenizer, device, layout.autocast, rows=context.rows, world=context.world
    )
    return model

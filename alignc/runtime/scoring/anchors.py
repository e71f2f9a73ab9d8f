"""The anchors of a job's loss: log-probabilities that another model, or the policy of before, gives its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from ...contract.failure import Failure
from ..data.example import Example
from ..models.load import initial_model, pretrained, ready
from ..ranks.run import Run, halt
from ..ranks.world import World
from .micro import Anchors, BatchLayout, choose_layout
from .reference import Row, cache_folder, read_rows, reference_log_probs

__all__ = ["anchors_of"]

Parts = Sequence[Sequence[Example]]


def anchors_of(
    run: Run,
    world: World,
    tokenizer: Any,
    policy: nn.Module | None,
    layout: BatchLayout,
    parts: Parts,
    known: str | None,
) -> tuple[list[Anchors], str | None]:
    """Give each part's anchors (training rows, held-out rows), and the key of the cache that holds them.

    ``policy`` is the policy before its first update, or None where training goes on from a checkpoint: then
    ``known`` is the key from before, and a model is made again only if the cache has lost its rows.
    """
    models = models_of(run)
    if not models:
        return [{} for _ in parts], None
    keys = dict(zip(models, known.split(), strict=True)) if known else {}
    found: list[dict[str, Sequence[Row]]] = [{} for _ in parts]
    for model, names in models.items():
        rows = rows_of(keys[model], parts) if model in keys else None
        if rows is None:
            keys[model] = compute(run, world, tokenizer, policy, layout, parts, model)
            rows = rows_of(keys[model], parts)
        if rows is None:
            folder = cache_folder() / "reference"
            raise Failure(
                "E805", f"the reference cache in {folder} lost rows that were just written", exit_code=4
            )
        for anchors, part in zip(found, rows, strict=True):
            anchors |= dict.fromkeys(names, part)
    return list(found), " ".join(keys[model] for model in models)


REFERENCE = "reference"


def models_of(run: Run) -> dict[str, list[str]]:
    """List the models that score the rows, each with the anchors it stands for: the reference, and others' names."""
    plan = run.job.plan
    own = [name for name in plan.anchors if name not in plan.others]
    return ({REFERENCE: own} if own else {}) | {name: [name] for name in plan.anchors if name in plan.others}


def rows_of(key: str, parts: Parts) -> list[list[Row]] | None:
    """Read all parts from the cache, or None where anything is missing."""
    folder = cache_folder() / "reference" / key
    found = [read_rows(folder, part) for part in parts]
    whole = [part for part in found if part is not None]
    return whole if len(whole) == len(found) else None


def compute(
    run: Run,
    world: World,
    tokenizer: Any,
    policy: nn.Module | None,
    layout: BatchLayout,
    parts: Parts,
    what: str = REFERENCE,
) -> str:
    """Compute what the cache lacks, the ranks side by side; return the cache's key."""
    if what == REFERENCE:
        model = frozen_model(run, world, tokenizer, policy, layout)
    else:
        model = other_model(run, world, tokenizer, layout, run.job.plan.others[what])
    key = ""
    for part in parts:
        key = reference_log_probs(
            run.job,
            part,
            model,
            layout,
            rank=world.rank,
            world=world.size,
            each=run.goes_on,
            what=what,
        )
        halt(run, world)
    world.wait()
    return key


def frozen_model(
    run: Run, world: World, tokenizer: Any, policy: nn.Module | None, layout: BatchLayout
) -> nn.Module:
    """Give the model that the anchor speaks of: the policy itself before its first update, where that will do."""
    section = run.job.spec.model
    if section.reference.kind == "path":
        return other_model(run, world, tokenizer, layout, str(section.reference.path))
    if policy is not None:
        return policy
    return placed(run, world, tokenizer, layout, initial_model(run.job, tokenizer, critic=False))


def other_model(run: Run, world: World, tokenizer: Any, layout: BatchLayout, path: str) -> nn.Module:
    """Load a model that is not the policy's own, to score rows with."""
    model = pretrained(path, run.job.spec.model, keep_adapter=False)
    return placed(run, world, tokenizer, layout, model)


def placed(run: Run, world: World, tokenizer: Any, layout: BatchLayout, model: Any) -> nn.Module:
    """Put a model where and in which type the policy computes."""
    choose_layout(run.job, model, tokenizer, world.device, layout.autocast)
    return ready(model, run.job, world.device).to(layout.dtype)  # in another type it is another function

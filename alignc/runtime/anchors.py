"""The anchors of a job's loss: log-probabilities that another model, or the policy of before, gives its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from .conduct import Run
from .data.example import Example
from .failure import Failure
from .micro import Anchors, Arrangement, arrange
from .models import initial_model, pretrained, ready
from .reference import Row, cache_folder, read_rows, reference_log_probs
from .signals import Interrupted
from .world import World

__all__ = ["anchors_of", "halt"]

Parts = Sequence[Sequence[Example]]


def halt(run: Run, world: World, saved: str | None = None) -> None:
    """Stop here, all ranks together, where any of them got a signal."""
    signum = world.agree(run.stop.signum)
    if signum:
        raise Interrupted(signum, saved)


def anchors_of(
    run: Run,
    world: World,
    tokenizer: Any,
    policy: nn.Module | None,
    arrangement: Arrangement,
    parts: Parts,
    known: str | None,
) -> tuple[list[Anchors], str | None]:
    """Give each part's anchors (training rows, held-out rows), and the key of the cache that holds them.

    ``policy`` is the policy before its first update, or None where training goes on from a checkpoint: then
    ``known`` is the key from before, and a model is made again only if the cache has lost its rows.
    """
    names = run.job.plan.anchors
    if not names:
        return [{} for _ in parts], None
    rows = None if known is None else rows_of(known, parts)
    if known is None or rows is None:
        known = compute(run, world, tokenizer, policy, arrangement, parts)
        rows = rows_of(known, parts)
    if rows is None:
        folder = cache_folder() / "reference"
        raise Failure(
            "E805", f"the reference cache in {folder} lost rows that were just written", exit_code=4
        )
    return [dict.fromkeys(names, part) for part in rows], known


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
    arrangement: Arrangement,
    parts: Parts,
) -> str:
    """Compute what the cache lacks, the ranks side by side; return the cache's key."""
    model = frozen_model(run, world, tokenizer, policy, arrangement)
    key = ""
    for part in parts:
        key = reference_log_probs(
            run.job, part, model, arrangement, rank=world.rank, world=world.size, each=run.goes_on
        )
        halt(run, world)
    world.wait()
    return key


def frozen_model(
    run: Run, world: World, tokenizer: Any, policy: nn.Module | None, arrangement: Arrangement
) -> nn.Module:
    """Give the model that the anchor speaks of: the policy itself before its first update, where that will do."""
    section = run.job.spec.model
    if section.reference.kind == "path":
        model = pretrained(str(section.reference.path), section, keep_adapter=False)
    elif policy is not None:
        return policy
    else:
        model = initial_model(run.job, tokenizer, critic=False)
    arrange(run.job, model, tokenizer, world.device, arrangement.autocast)
    return ready(model, run.job, world.device).to(arrangement.dtype)  # in another type it is another function

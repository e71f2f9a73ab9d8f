"""The number of steps of a job, and the rows, responses, tokens and rollouts of a step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alignc.contract.kinds import ONLINE, SELF_PLAY
from alignc.contract.schedule import rollout_steps, row_steps, rows_per_step
from alignc.plan.rows import Lengths

__all__ = ["Schedule", "Tokens", "schedule", "tokens"]


@dataclass(frozen=True)
class Schedule:
    """The steps of a run. `rows` is the number of training rows, or None if the data was not read."""

    rows_a_step: int
    rows: int | None
    steps: int | None
    sure: str
    rollouts: int | None = None
    prompts_a_rollout: int | None = None
    evaluations: int | None = None
    checkpoints: int | None = None


@dataclass(frozen=True)
class Tokens:
    """The tokens of a row: all tokens run through the backbone, and response tokens also through the head.

    `mean` figures are for work, `longest` ones for memory, at most what `train.max_length` lets through.
    """

    backbone: float
    scored: float
    longest_backbone: int
    longest_scored: int
    prompt: float
    responses: int
    packed: bool
    sure: str


def schedule(spec: Mapping[str, Any], lengths: Lengths) -> Schedule:
    """Count steps as the loop does; a held-out fraction is drawn by hash, so the number is then an estimate."""
    train, data = spec["train"], spec["data"]
    size = rows_per_step(
        train["per_device_train_batch_size"],
        train["gradient_accumulation_steps"],
        spec["launch"]["num_processes"],
    )
    held_out = (data.get("eval") or {}).get("fraction")
    rows, sure = lengths.rows, "exact"
    if rows is not None and held_out:
        rows, sure = round(rows * (1 - held_out)), "estimate"
    if data["kind"] in ONLINE:
        return _with_ends(_online(spec, rows, size, sure), train, data)
    if train["max_steps"] > 0:
        return _with_ends(Schedule(size, rows, train["max_steps"], "exact"), train, data)
    if rows is None:
        return Schedule(size, rows, None, "unknown")
    steps = row_steps(rows, size, epochs=train["num_train_epochs"]).total_steps
    return _with_ends(Schedule(size, rows, steps, sure), train, data)


def _online(spec: Mapping[str, Any], rows: int | None, size: int, sure: str) -> Schedule:
    """Count rollouts; each is trained on `rollout_epochs` times, in minibatches of a step's prompts."""
    train, data = spec["train"], spec["data"]
    limit = train["max_steps"] if train["max_steps"] > 0 else None
    if rows is None:
        width = None if data["kind"] == SELF_PLAY else size * train["rollout_minibatches"]
        return Schedule(size, rows, limit, "exact" if limit else "unknown", None, width)
    if not rows:
        return Schedule(size, rows, 0 if data["kind"] == SELF_PLAY else limit or 0, sure, 0, 0)
    counted = rollout_steps(
        rows,
        size,
        minibatches=train["rollout_minibatches"],
        rollout_epochs=train["rollout_epochs"],
        passes=train["num_train_epochs"],
        iterations=data["iterations"] if data["kind"] == SELF_PLAY else None,
        limit=limit,
    )
    return Schedule(size, rows, counted.total_steps, sure, counted.rollouts, counted.width)


def _with_ends(found: Schedule, train: Mapping[str, Any], data: Mapping[str, Any]) -> Schedule:
    if found.steps is None:
        return found
    every = train["eval_steps"]
    held_out = 0 if not data.get("eval") else math.ceil(found.steps / every) if every else 1
    saved = min(math.ceil(found.steps / train["save_steps"]), train["save_total_limit"])
    fields = {**vars(found), "evaluations": held_out + bool(held_out and train["eval_on_start"])}
    return Schedule(**{**fields, "checkpoints": saved})


def tokens(spec: Mapping[str, Any], lengths: Lengths, responses: int, positions: int | None) -> Tokens:
    """Compute the size of a row: prompts are cut to leave room for responses, and the packed layout shares them."""
    train, data = spec["train"], spec["data"]
    limit = train["max_length"] if not positions else min(train["max_length"], positions)
    packed = train["layout"] != "padded"
    if data["kind"] in ONLINE:
        response, longest = float(data["max_new_tokens"]), int(data["max_new_tokens"])
        many, sure = int(data["completions_per_prompt"]), "bound"
    else:
        response = min(lengths.response, limit - 1) if lengths.response else limit / 2
        longest = min(lengths.longest_response or limit - 1, limit - 1)
        many = (
            round(lengths.responses)
            if data["kind"] == "scored" and lengths.responses and responses == 1
            else responses
        )
        sure = "estimate" if lengths.response else "bound"
    prompt = min(lengths.prompt if lengths.prompt is not None else limit / 2, limit - response)
    longest_prompt = min(lengths.longest_prompt if lengths.longest_prompt is not None else limit, limit - 1)
    longest_prompt = max(1, min(longest_prompt, limit - longest) if longest < limit else 1)
    copies = 1 if packed else many
    return Tokens(
        backbone=copies * prompt + many * response,
        scored=many * response,
        longest_backbone=copies * longest_prompt + many * longest,
        longest_scored=many * longest,
        prompt=prompt,
        responses=many,
        packed=packed,
        sure=sure,
    )

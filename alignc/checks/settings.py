"""Checks of settings: whether the settings of a run fit each other and the objective."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from alignc.checks.rule import Checked
from alignc.contract.kinds import ONLINE
from alignc.contract.optimizers import OPTIMIZERS
from alignc.diagnostics import Diagnostic, did_you_mean
from alignc.load.folder import ModelFacts, facts_of
from alignc.lower.mixture import own_metric
from alignc.spec.rows import Sampled, Sources
from alignc.yaml.source import NodePath

__all__ = [
    "best_metric",
    "early_stopping",
    "heads",
    "held_out_metric",
    "no_room",
    "no_steps",
    "positions",
    "unmoved",
    "words",
]

METRIC = ("train", "metric_for_best_model")
PATIENCE = ("train", "early_stopping_patience")
USUAL_WEIGHT = 0.02
"""The size that weights of language models usually have: the standard deviation of their start."""
POSITIONS = ("max_position_embeddings", "n_positions")
HELD_OUT = (
    "completions/ended",
    "completions/mean_length",
    "objective/kl",
    "objective/scores",
    "win_rate",
)
"""The metrics of the policy's responses to held-out prompts."""


def best_metric(checked: Checked) -> Iterator[Diagnostic]:
    """E003: the metric of the best checkpoint is not a metric of the objective."""
    chosen = checked.spec.job.train.metric_for_best_model
    known = sorted(set().union(*_held_out_metrics(checked)))
    if chosen is None or chosen.removeprefix("eval_") in known:
        return
    guess = did_you_mean(chosen.removeprefix("eval_"), known)
    yield checked.finding(
        "E003",
        f"`metric_for_best_model` is `{chosen}`, but this objective does not compute this metric",
        METRIC,
        why="the best checkpoint is chosen by a metric on held-out rows, and each objective has its own metrics",
        help=f"did you mean `{guess}`?" if guess else f"choose one of: {', '.join(known)}",
    )


def _held_out_metrics(checked: Checked) -> list[set[str]]:
    """List for each source the metrics on its held-out rows, or on the responses to its held-out prompts.

    Every source has the metric `loss` if all rows are given: only then the sum of the losses is known.
    """
    data = (checked.spec.whole or checked.spec).job.data
    kinds = [rows.kind for rows in data.sources.values()] if isinstance(data, Sources) else [data.kind]
    given = not any(kind in ONLINE for kind in kinds)
    found: list[set[str]] = []
    for number, (kind, loss) in enumerate(zip(kinds, checked.every, strict=True), 1):
        own = {own_metric(number)} if len(kinds) > 1 else set()
        computed = own | {metric.name for metric in loss.metrics if metric.name != "loss"}
        found.append(set(HELD_OUT) if kind in ONLINE else computed | ({"loss"} if given else set()))
    return found


def held_out_metric(checked: Checked) -> Iterator[Diagnostic]:
    """E006: the best checkpoint needs held-out rows, but the spec has no held-out rows."""
    job, chosen = checked.spec.job, checked.spec.job.train.metric_for_best_model
    missing = not isinstance(job.data, Sources) and job.data.eval is None
    if chosen is not None and missing and _concerns(checked, chosen.removeprefix("eval_")):
        yield checked.finding(
            "E006",
            "`metric_for_best_model` needs held-out rows, but `data.eval` is missing",
            METRIC,
            why="checkpoints are compared on rows that training does not use",
            help="add `eval: {fraction: 0.05}` or `eval: {source: FILE}` to `data`",
        )


def _concerns(checked: Checked, metric: str) -> bool:
    """Return whether a metric is computed from the held-out rows of this source; an unknown one concerns all."""
    found = _held_out_metrics(checked)
    own = next(names for names, loss in zip(found, checked.every, strict=True) if loss is checked.loss)
    return metric in own or not any(metric in names for names in found)


def early_stopping(checked: Checked) -> Iterator[Diagnostic]:
    """E006: `early_stopping_patience` needs a metric and evaluations during the run."""
    train = checked.spec.job.train
    if train.early_stopping_patience is None:
        return
    for name, example in (("metric_for_best_model", "loss"), ("eval_steps", "100")):
        if getattr(train, name) is None:
            yield checked.finding(
                "E006",
                f"`early_stopping_patience` needs `{name}`",
                PATIENCE,
                why="patience counts the evaluations during the run without an improvement of the chosen metric",
                help=f"add `{name}: {example}` to `train`, or delete `early_stopping_patience`",
            )


def no_steps(checked: Checked) -> Iterator[Diagnostic]:
    """E004: a run of no steps."""
    if checked.spec.job.train.max_steps == 0:
        yield checked.finding(
            "E004",
            "`max_steps` must be at least 1, or -1 to count epochs instead, but it is 0",
            ("train", "max_steps"),
            why="a run without steps trains nothing",
        )


def no_room(checked: Checked) -> Iterator[Diagnostic]:
    """E004: the longest response leaves no token for the prompt."""
    data, limit = checked.spec.job.data, checked.spec.job.train.max_length
    if isinstance(data, Sampled) and data.max_new_tokens >= limit:
        yield checked.finding(
            "E004",
            f"`max_new_tokens` is {data.max_new_tokens}: `train.max_length: {limit}` leaves no token for the prompt",
            ("data", "max_new_tokens"),
            why="prompt and response together must fit into `max_length`",
            help=f"lower `max_new_tokens`, or set `train.max_length` above {data.max_new_tokens}",
        )


def positions(checked: Checked) -> Iterator[Diagnostic]:
    """E004: `max_length` exceeds the positions of a new model; an unwritten `max_length` is lowered instead."""
    job, written = checked.spec.job, ("train", "max_length")
    if written not in checked.spec.document.origins:
        return
    facts = facts_of(Path(job.model.policy)) if isinstance(job.model.policy, str) else None
    given = [(name, getattr(job.model.policy, name, None), f", or raise `{name}`") for name in POSITIONS]
    for name, limit, other in [*given, ("learned", None if facts is None else facts.positions, "")]:
        if limit is not None and job.train.max_length > limit:
            yield checked.finding(
                "E004",
                f"`train.max_length` is {job.train.max_length}, but the model has {limit} positions (`{name}`)",
                written,
                why="a token after the last position has no valid position embedding",
                help=f"set `train.max_length` to at most {limit}{other}",
            )


def words(checked: Checked) -> Iterator[Diagnostic]:
    """E615: the tokenizer of a local policy gives ids that a local model has no embedding for."""
    section = checked.spec.job.model
    own = facts_of(Path(section.policy)) if isinstance(section.policy, str) else None
    models: list[tuple[NodePath, str, ModelFacts | None]] = [(("model", "policy"), "the policy", own)]
    reference = section.reference.path if section.reference else None
    if isinstance(reference, str):
        models.append((("model", "reference", "path"), "the reference", facts_of(Path(reference))))
    for path, name, facts in models:
        if own is None or own.tokens is None or facts is None or facts.vocabulary is None:
            continue
        if own.tokens > facts.vocabulary:
            yield checked.finding(
                "E615",
                f"the tokenizer gives ids up to {own.tokens - 1}, but {name} has {facts.vocabulary} embeddings",
                path,
            )


HEADS = (
    (("num_attention_heads", "n_head"), ("hidden_size", "n_embd")),
    (("num_key_value_heads",), ("num_attention_heads", "n_head")),
)
"""Pairs of sizes by their names: the first size must divide the second size."""


def heads(checked: Checked) -> Iterator[Diagnostic]:
    """E004: the heads of a new model do not divide its width, or the key-value heads do not divide the heads."""
    policy = checked.spec.job.model.policy
    for parts, wholes in HEADS:
        part, whole = (
            next(((n, v) for n in names if isinstance(v := getattr(policy, n, None), int)), None)
            for names in (parts, wholes)
        )
        if part is None or whole is None or (part[1] > 0 and whole[1] % part[1] == 0):
            continue
        if parts[0] == "num_attention_heads" and getattr(policy, "head_dim", None) is not None:
            continue  # `head_dim` sets the width of a head, so the width need not be divisible
        yield checked.finding(
            "E004",
            f"`{part[0]}` is {part[1]}, and this number does not divide `{whole[0]}: {whole[1]}`",
            ("model", "policy", part[0]),
            why="the heads divide the width equally, and the key-value heads divide the heads equally",
            help=f"choose a divisor of {whole[1]}",
        )


def unmoved(checked: Checked) -> Iterator[Diagnostic]:
    """W504: a step at this learning rate is less than half the distance to the next number."""
    train, dtype = checked.spec.job.train, checked.spec.job.model.dtype
    row = OPTIMIZERS[train.optim]
    finest = USUAL_WEIGHT * 2.0 ** -(53 if dtype == "float64" else 24)
    if row.unit_steps and row.wide and 0 < train.learning_rate < finest:
        yield checked.finding(
            "W504",
            f"a step of {train.learning_rate:g} cannot move a weight of {USUAL_WEIGHT}",
            ("train", "learning_rate"),
            why=f"the weights are {dtype if dtype == 'float64' else 'float32'}, and around {USUAL_WEIGHT} half the "
            f"distance to the next number is {finest:.1g}",
            help="use a learning rate of 1e-7 or more",
        )

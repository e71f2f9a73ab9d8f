"""Do the settings of a run fit each other and the objective?"""

from __future__ import annotations

from collections.abc import Iterator

from alignc.checks.rule import Checked
from alignc.diagnostics import Diagnostic, did_you_mean
from alignc.graph.mixture import own_metric
from alignc.spec.rows import ONLINE, Sampled, Sources

__all__ = [
    "adapter_off",
    "best_metric",
    "early_stopping",
    "heads",
    "held_out_metric",
    "no_room",
    "no_steps",
    "positions",
]

METRIC = ("train", "metric_for_best_model")
PATIENCE = ("train", "early_stopping_patience")
POSITIONS = ("max_position_embeddings", "n_positions")
HELD_OUT = (
    "completions/ended",
    "completions/mean_length",
    "objective/kl",
    "objective/scores",
    "win_rate",
)
"""What held-out prompts are judged by, the policy answering them."""


def best_metric(checked: Checked) -> Iterator[Diagnostic]:
    """E003: a best checkpoint by a metric that the objective does not compute."""
    chosen = checked.spec.job.train.metric_for_best_model
    every = checked.every
    own = [own_metric(i + 1) for i in range(len(every))] if len(every) > 1 else []
    computed = {"loss", *own, *(metric.name for loss in every for metric in loss.metrics)}
    known = sorted(HELD_OUT if checked.spec.job.data.kind in ONLINE else computed)
    if chosen is None or chosen.removeprefix("eval_") in known:
        return
    guess = did_you_mean(chosen.removeprefix("eval_"), known)
    yield checked.finding(
        "E003",
        f"`metric_for_best_model` is `{chosen}`, which this objective does not compute",
        METRIC,
        why="the best checkpoint is found by a metric of the held-out rows, and each objective has its own",
        help=f"did you mean `{guess}`?" if guess else f"one of: {', '.join(known)}",
    )


def held_out_metric(checked: Checked) -> Iterator[Diagnostic]:
    """E006: a best checkpoint by a held-out metric, and no held-out rows."""
    job = checked.spec.job
    missing = not isinstance(job.data, Sources) and job.data.eval is None
    if job.train.metric_for_best_model is not None and missing:
        yield checked.finding(
            "E006",
            "`metric_for_best_model` needs held-out rows, and `data.eval` is missing",
            METRIC,
            why="checkpoints are compared on rows that they were not trained on",
            help="add `eval: {fraction: 0.05}` or `eval: {source: FILE}` to `data`",
        )


def early_stopping(checked: Checked) -> Iterator[Diagnostic]:
    """E006: patience without what is waited for, or without evaluations to wait through."""
    train = checked.spec.job.train
    if train.early_stopping_patience is None:
        return
    for name, example in (("metric_for_best_model", "loss"), ("eval_steps", "100")):
        if getattr(train, name) is None:
            yield checked.finding(
                "E006",
                f"`early_stopping_patience` needs `{name}`",
                PATIENCE,
                why="patience counts evaluations during the run in which a chosen metric is no better",
                help=f"add `{name}: {example}` to `train`, or delete `early_stopping_patience`",
            )


def adapter_off(checked: Checked) -> Iterator[Diagnostic]:
    """E006: the reference is the policy without its adapter, and it has none."""
    model = checked.spec.job.model
    if model.reference is not None and model.reference.kind == "adapter_off" and model.adapter is None:
        yield checked.finding(
            "E006",
            "`reference: {kind: adapter_off}` needs `model.adapter`",
            ("model", "reference", "kind"),
            why="without an adapter to switch off, the reference would be the policy itself",
            help="add `adapter: {kind: lora}` to `model`, or take `reference: {kind: initial}`",
        )


def no_steps(checked: Checked) -> Iterator[Diagnostic]:
    """E004: a run of no steps."""
    if checked.spec.job.train.max_steps == 0:
        yield checked.finding(
            "E004",
            "`max_steps` must be at least 1, or -1 to go by epochs, found 0",
            ("train", "max_steps"),
            why="a run without a step trains nothing",
        )


def no_room(checked: Checked) -> Iterator[Diagnostic]:
    """E004: responses that leave no token for the prompt."""
    data, limit = checked.spec.job.data, checked.spec.job.train.max_length
    if isinstance(data, Sampled) and data.max_new_tokens >= limit:
        yield checked.finding(
            "E004",
            f"`max_new_tokens` is {data.max_new_tokens}, which leaves no token of `train.max_length: {limit}`",
            ("data", "max_new_tokens"),
            why="prompt and response together must fit the length",
            help=f"lower it, or set `train.max_length` above {data.max_new_tokens}",
        )


def positions(checked: Checked) -> Iterator[Diagnostic]:
    """E004: rows may be longer than the positions that a fresh model is given; a default gives way instead."""
    job, written = checked.spec.job, ("train", "max_length")
    if written not in checked.spec.document.origins:
        return
    given = ((name, getattr(job.model.policy, name, None)) for name in POSITIONS)
    for name, limit in given:
        if limit is not None and job.train.max_length > limit:
            yield checked.finding(
                "E004",
                f"`train.max_length` is {job.train.max_length}, and the model has {limit} positions (`{name}`)",
                written,
                why="a token beyond the last position has no embedding, or one that was never meant to be",
                help=f"set `train.max_length` to at most {limit}, or raise `{name}`",
            )


HEADS = (
    (("num_attention_heads", "n_head"), ("hidden_size", "n_embd")),
    (("num_key_value_heads",), ("num_attention_heads", "n_head")),
)
"""What shares out what, by its names: the first must divide the second."""


def heads(checked: Checked) -> Iterator[Diagnostic]:
    """E004: a fresh model whose attention heads do not share out its width, or each other, evenly."""
    policy = checked.spec.job.model.policy
    for parts, wholes in HEADS:
        part, whole = (
            next(((n, v) for n in names if isinstance(v := getattr(policy, n, None), int)), None)
            for names in (parts, wholes)
        )
        if part is None or whole is None or (part[1] > 0 and whole[1] % part[1] == 0):
            continue
        if parts[0] == "num_attention_heads" and getattr(policy, "head_dim", None) is not None:
            continue  # a head's width is written, and need not be a share
        yield checked.finding(
            "E004",
            f"`{part[0]}` is {part[1]}, which does not divide `{whole[0]}: {whole[1]}`",
            ("model", "policy", part[0]),
            why="each head takes an equal share",
            help=f"choose a divisor of {whole[1]}",
        )

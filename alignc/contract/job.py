"""The resolved job, read from `job.json` into frozen dataclasses."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from .failure import Failure
from .models import anchors
from .outputs import OUTPUTS

__all__ = [
    "Adapter",
    "Data",
    "Formula",
    "Job",
    "Launch",
    "Model",
    "Plan",
    "Reference",
    "Spec",
    "Train",
    "job_from",
    "read_job",
]

T = TypeVar("T")


@dataclass(frozen=True)
class Reference:
    """Where reference log-probabilities come from: initial, path, adapter_off, previous_iterate, ema or none."""

    kind: str
    path: str | None = None
    decay: float | None = None


@dataclass(frozen=True)
class Adapter:
    """A low-rank adapter: kind, rank, scale, dropout and the modules that get one."""

    kind: str
    r: int
    alpha: float
    dropout: float
    target_modules: str | list[str]


@dataclass(frozen=True)
class Model:
    """The policy (an id, a folder, or `{init: …}`), its reference and its adapter."""

    policy: str | Mapping[str, Any]
    reference: Reference
    adapter: Adapter | None = None
    critic: Mapping[str, Any] | None = None
    dtype: str | None = None
    attn_implementation: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False


@dataclass(frozen=True)
class Data:
    """The rows: where they are, how their columns are called, what becomes of bad ones.

    From ``completions_per_prompt`` on it is about prompts whose responses the policy samples.
    """

    kind: str
    source: str
    split: str
    columns: Mapping[str, str]
    chat_template: str | None
    max_rows: int | None
    eval: Mapping[str, Any] | None
    on_bad_row: str
    max_refused: int
    max_cut: float
    completions_per_prompt: int = 1
    max_new_tokens: int = 64
    temperature: float = 1.0
    top_p: float = 1.0
    sampler: str = "transformers"
    missing_eos_reward: float | None = None
    reward: Any = None
    oracle: Any = None
    opponent: Mapping[str, Any] | None = None
    iterations: int = 1

    @property
    def online(self) -> bool:
        """Whether the policy makes its own responses."""
        return self.kind in ONLINE


@dataclass(frozen=True)
class Train:
    """The optimizer, its schedule, and how often to log, evaluate and save."""

    learning_rate: float
    lr_scheduler_type: str
    warmup_steps: float
    per_device_train_batch_size: int
    per_device_eval_batch_size: int
    gradient_accumulation_steps: int
    num_train_epochs: float
    max_steps: int
    max_length: int
    max_grad_norm: float | None
    weight_decay: float
    optim: str
    adam_beta1: float
    adam_beta2: float
    adam_epsilon: float
    seed: int
    bf16: bool | None
    dropout: bool
    activation_checkpointing: bool
    layout: str
    logging_steps: int
    eval_steps: int | None
    eval_on_start: bool
    save_steps: int
    save_total_limit: int
    report_to: list[str]
    metric_for_best_model: str | None
    greater_is_better: bool | None
    early_stopping_patience: int | None
    rollout_epochs: int = 1
    rollout_minibatches: int = 1


@dataclass(frozen=True)
class Launch:
    """How many processes run the job, and what holds them together; `timeout` in seconds."""

    engine: str
    num_processes: int
    num_machines: int
    zero_stage: int
    offload: str | None
    mixed_precision: str | None
    timeout: int


@dataclass(frozen=True)
class Spec:
    """What the user wrote, with every default filled in; the objective as plain data."""

    version: int
    name: str
    objective: Mapping[str, Any]
    model: Model
    data: Data
    train: Train
    launch: Launch
    output_dir: str


STATISTICS = {"matched", "mean", "running"}
ONLINE = {"prompts", "self_play"}


@dataclass(frozen=True)
class Plan:
    """What the loss needs: responses in order, anchors, columns, totals, and its values at step 0.

    A rollout also needs to know how its ``advantage`` and other ``token_columns`` come about, which ``baseline`` is
    estimated, and which metrics are ``ratios``: 1 at a rollout's first step. ``others`` are anchors that are models of
    their own: a folder or hub id by the anchor's name.
    """

    responses: list[str]
    anchors: list[str]
    columns: list[str]
    outputs: list[str]
    statistics: Mapping[str, str]
    statistic_responses: list[str]
    loss_responses: list[str]
    convert: str | None
    totals: list[str]
    coupled: bool
    metrics: list[str]
    step0: Mapping[str, float]
    advantage: Mapping[str, Any] | None = None
    token_columns: list[str] = field(default_factory=list)
    ratios: list[str] = field(default_factory=list)
    baseline: Mapping[str, Any] | None = None
    others: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what this runtime does not compute, rather than leave it out."""
        asked = [*(set(self.outputs) - OUTPUTS.keys()), *(set(self.statistics.values()) - STATISTICS)]
        asked += set(self.anchors) - set(anchors()) - self.others.keys()
        if asked:
            raise Failure(
                "E806", f"this runtime does not compute what the objective needs: {', '.join(asked)}"
            )


@dataclass(frozen=True)
class Formula:
    """The loss as `explain` prints it."""

    text: str
    latex: str


@dataclass(frozen=True)
class Job:
    """A whole resolved job."""

    alignc: str
    name: str
    spec: Spec
    origins: Mapping[str, str]
    plan: Plan
    formula: Formula
    parts: tuple[Job, ...] = ()
    """Of several sources of rows: the job of each by itself."""

    @property
    def output_dir(self) -> Path:
        """The folder that everything the job makes goes into."""
        return Path(self.spec.output_dir)


def read_job(path: Path) -> Job:
    """Read a `job.json`. Failure E806 where it is not one that this runtime knows."""
    try:
        return job_from(json.loads(path.read_text(encoding="utf-8")))
    except (AttributeError, OSError, TypeError, ValueError) as problem:
        raise Failure("E806", f"cannot read {path.name}: {problem}", file=str(path)) from problem


def job_from(data: Mapping[str, Any]) -> Job:
    """Build a job from the parsed `job.json`. Failure E806 for unknown or missing keys."""
    spec = dict(data.get("spec") or {})
    if sources := (spec.get("data") or {}).get("sources"):
        return mixture_from(data, spec, list(sources.values()))
    parts = {"model": model_from(spec.get("model") or {})}
    parts |= {name: build(kind, spec.get(name) or {}, name) for name, kind in SECTIONS.items()}
    whole = {
        "spec": build(Spec, {**spec, **parts}, "spec"),
        "plan": build(Plan, data.get("plan") or {}, "plan"),
        "formula": build(Formula, data.get("formula") or {}, "formula"),
    }
    return build(Job, {**data, **whole}, "job")


def mixture_from(data: Mapping[str, Any], spec: Mapping[str, Any], sources: Sequence[Any]) -> Job:
    """Build the job of several sources, and one for each as if it stood alone; `data` of the whole is the first's."""
    plan = dict(data.get("plan") or {})
    plans = plan.pop("parts", None) or []
    parts = tuple(
        job_from(
            {**data, "spec": {**spec, "data": source, "model": model_of_part(spec, source, own)}, "plan": own}
        )
        for source, own in zip(sources, plans, strict=True)
    )
    whole = job_from({**data, "spec": {**spec, "data": sources[0]}, "plan": plan})
    return dataclasses.replace(whole, parts=parts)


def model_of_part(
    spec: Mapping[str, Any], source: Mapping[str, Any], plan: Mapping[str, Any]
) -> dict[str, Any]:
    """Take the reference from the model section of a source whose loss reads none, as in a job of its own."""
    model, stored = dict(spec.get("model") or {}), {"rollout"} if source.get("kind") in ONLINE else set()
    if set(plan.get("anchors", ())) - stored - set(plan.get("others", ())):
        return model
    return {**model, "reference": {**(model.get("reference") or {}), "kind": "none"}}


SECTIONS: Mapping[str, Any] = {"data": Data, "train": Train, "launch": Launch}


def model_from(data: Mapping[str, Any]) -> Model:
    """Build the model section with its reference and adapter."""
    reference = build(Reference, data.get("reference") or {"kind": "none"}, "model.reference")
    adapter = data.get("adapter") and build(Adapter, data["adapter"], "model.adapter")
    return build(Model, {**data, "reference": reference, "adapter": adapter or None}, "model")


def build(kind: type[T], data: Mapping[str, Any], where: str) -> T:
    """Build a dataclass from a mapping that has its keys and no others."""
    fields = {f.name: f for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - set(fields))
    needed = {n for n, f in fields.items() if f.default is f.default_factory is dataclasses.MISSING}
    missing = sorted(needed - set(data))
    if unknown or missing:
        raise Failure(
            "E806",
            f"job.json does not fit this runtime: {where} has unknown keys {unknown}, lacks {missing}",
            help="compile the spec again with the alignc that runs it",
        )
    return kind(**data)

"""The resolved job: `job.json` as frozen dataclasses, which the compiler writes and the job reads.

`to_json` and `read_job` are the two directions of one form: what the one writes, the other reads as an equal job.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .adapters import NEW, off_is_start
from .failure import Failure
from .models import ROLLOUT
from .needs import LossNeeds, needs_from
from .plain import build, left_out, optional, to_plain
from .rows import Data, GivenData, SampledData, Sources, data_from

__all__ = [
    "Adapter",
    "Critic",
    "Formula",
    "Job",
    "Launch",
    "Model",
    "Quantization",
    "Reference",
    "Spec",
    "Train",
    "job_from",
    "read_job",
    "spec_from",
    "to_json",
]


@dataclass(frozen=True)
class Reference:
    """Where reference log-probabilities come from: initial, path, adapter_off, previous_iterate, ema or none."""

    path: str | None = field(default=None, kw_only=True)
    kind: str
    decay: float | None = left_out()


@dataclass(frozen=True)
class Critic:
    """What learns the value of a state: a ``head`` on the policy's trunk, or a ``model`` that starts from ``path``."""

    kind: str
    path: str | None = None


@dataclass(frozen=True)
class Adapter:
    """A low-rank adapter: where it starts, rank, scale, dropout, the modules that get one, how its factors begin.

    ``modules_to_save`` are trained whole, each in a copy of its own. ``rank_pattern`` gives modules another rank.
    """

    kind: str
    r: int
    alpha: float
    dropout: float
    target_modules: str | list[str]
    start: str = NEW
    rank_pattern: Mapping[str, int] = field(default_factory=dict)
    use_rslora: bool = False
    use_dora: bool = False
    init_lora_weights: bool | str = True
    modules_to_save: list[str] = field(default_factory=list)

    @property
    def off_is_start(self) -> bool:
        """Whether the policy without this adapter is the policy as training began."""
        return off_is_start(self.start, self.init_lora_weights)


@dataclass(frozen=True)
class Quantization:
    """The base of an adapter in few bits: their number, of 4 bits the code, and the type that layers compute in."""

    bits: int = 4
    type: str = "nf4"
    double: bool = True
    compute_dtype: str | None = None


@dataclass(frozen=True)
class Model:
    """The policy (an id, a folder, or `{init: …}`), its reference and its adapter."""

    policy: str | Mapping[str, Any]
    reference: Reference
    adapter: Adapter | None = None
    critic: Critic | None = None
    quantization: Quantization | None = field(default=None, kw_only=True)
    dtype: str | None = None
    attn_implementation: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False


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
    rollout_epochs: int = field(default=1, kw_only=True)
    rollout_minibatches: int = field(default=1, kw_only=True)
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

    def of(self, rows: GivenData | SampledData, needs: LossNeeds) -> Spec:
        """Return the spec of one source as if it stood alone; where its loss reads no reference, it has none."""
        stored = {ROLLOUT} if rows.online else set()
        reference = self.model.reference
        if not set(needs.anchors) - stored - needs.others.keys():
            reference = dataclasses.replace(reference, kind="none")
        model = dataclasses.replace(self.model, reference=reference)
        return dataclasses.replace(self, data=rows, model=model)


@dataclass(frozen=True)
class Formula:
    """The loss as `explain` prints it."""

    text: str
    latex: str


@dataclass(frozen=True)
class Job:
    """A whole resolved job. ``origins`` tell where each value of the spec comes from, by its dotted path."""

    alignc: str
    name: str
    spec: Spec
    origins: Mapping[str, str]
    needs: LossNeeds = field(metadata={"key": "plan"})
    formula: Formula

    @property
    def output_dir(self) -> Path:
        """The folder that everything the job makes goes into."""
        return Path(self.spec.output_dir)

    @property
    def parts(self) -> tuple[Job, ...]:
        """The job of each of several sources as if it stood alone; empty where there is one source."""
        if not isinstance(self.spec.data, Sources):
            return ()
        together = zip(self.spec.data.sources.values(), self.needs.parts, strict=True)
        return tuple(
            dataclasses.replace(self, spec=self.spec.of(own, needs), needs=needs) for own, needs in together
        )

    @property
    def rows(self) -> GivenData | SampledData:
        """The job's one source of rows. TypeError where there are several."""
        if isinstance(self.spec.data, Sources):
            raise TypeError("each of several sources has rows of its own")
        return self.spec.data

    @property
    def prompts(self) -> SampledData:
        """The prompts that the policy answers. TypeError where the responses are given."""
        if not isinstance(self.spec.data, SampledData):
            raise TypeError("the responses of this job are given")
        return self.spec.data


def to_json(job: Job) -> str:
    """Write `job.json`; the same job gives the same bytes."""
    return json.dumps(to_plain(job), indent=1, ensure_ascii=False) + "\n"


def read_job(path: Path) -> Job:
    """Read a `job.json`. Failure E806 where it is not one that this runtime knows."""
    try:
        return job_from(json.loads(path.read_text(encoding="utf-8")))
    except (AttributeError, OSError, TypeError, ValueError) as problem:
        raise Failure("E806", f"cannot read {path.name}: {problem}", file=str(path)) from problem


def job_from(data: Mapping[str, Any]) -> Job:
    """Build a job from the parsed `job.json`. Failure E806 for unknown or missing keys."""
    whole = {
        "spec": spec_from(data.get("spec") or {}),
        "plan": needs_from(data.get("plan") or {}),
        "formula": build(Formula, data.get("formula") or {}, "formula"),
    }
    return build(Job, {**data, **whole}, "job")


def spec_from(data: Mapping[str, Any]) -> Spec:
    """Build the resolved spec from plain data. Failure E806 for unknown or missing keys."""
    sections = {
        "model": model_from(data.get("model") or {}),
        "data": data_from(data.get("data") or {}),
        "train": build(Train, data.get("train") or {}, "train"),
        "launch": build(Launch, data.get("launch") or {}, "launch"),
    }
    return build(Spec, {**data, **sections}, "spec")


def model_from(data: Mapping[str, Any]) -> Model:
    """Build the model section with its reference, its adapter and its critic."""
    nested = {
        "reference": build(Reference, data.get("reference") or {"kind": "none"}, "model.reference"),
        "adapter": optional(Adapter, data.get("adapter"), "model.adapter"),
        "quantization": optional(Quantization, data.get("quantization"), "model.quantization"),
        "critic": optional(Critic, data.get("critic"), "model.critic"),
    }
    return build(Model, {**data, **nested}, "model")

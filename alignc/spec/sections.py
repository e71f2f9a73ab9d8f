"""The sections of a spec beside the objective: model, data, train, launch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from alignc.diagnostics.suggest import did_you_mean
from alignc.spec.architectures import InitPolicy, InitPolicyBase
from alignc.spec.base import Spec, field

__all__ = ["Adapter", "Data", "Launch", "Model", "Reference", "RunPolicy", "Train"]

Name = Annotated[str, Field(min_length=1)]


class RunPolicy(Spec):
    """The model that another spec trains."""

    run: str = field(..., "A spec; its `output_dir/model` is taken.", min_length=1)


def _form(given: dict[str, Any], usual: str, other: str) -> str:
    """Tell two forms of a mapping apart by the key that only the other has, though it be misspelt."""
    if usual in given or did_you_mean(usual, map(str, given)):
        return f"({usual})"
    return f"({other})" if other in given or did_you_mean(other, map(str, given)) else f"({usual})"


def _policy_form(value: Any) -> str:
    if isinstance(value, dict):
        return _form(value, "init", "run")
    return (
        "(init)" if isinstance(value, InitPolicyBase) else "(run)" if isinstance(value, RunPolicy) else "(id)"
    )


def _source_form(value: Any) -> str:
    return "(run)" if isinstance(value, dict | RunPolicy) else "(id)"


Policy = Annotated[
    Annotated[Name, Tag("(id)")] | Annotated[RunPolicy, Tag("(run)")] | Annotated[InitPolicy, Tag("(init)")],
    Discriminator(_policy_form),
]
ModelSource = Annotated[
    Annotated[Name, Tag("(id)")] | Annotated[RunPolicy, Tag("(run)")], Discriminator(_source_form)
]


class Reference(Spec):
    """Where the reference log-probabilities come from."""

    kind: Literal["initial", "path", "adapter_off", "none"] = field(
        ..., "A frozen copy of the initial policy, another model, the policy without its adapter, or none."
    )
    path: ModelSource | None = field(None, "The model of `kind: path`: a hub id, a folder or `{run: SPEC}`.")


class Adapter(Spec):
    """A low-rank adapter on a frozen policy (Hu et al. 2021)."""

    kind: Literal["lora"] = field("lora", "Low-rank adaptation.")
    r: int = field(8, "Rank.", ge=1)
    alpha: float = field(16.0, "Scale; the update is multiplied by alpha/r.", gt=0)
    dropout: float = field(0.0, "Dropout before the adapter.", ge=0, lt=1)
    target_modules: Literal["all-linear"] | list[str] = field(
        "all-linear", "Modules that get an adapter; the LM head never does."
    )


class Model(Spec):
    """The policy, its reference and its adapter."""

    policy: Policy = field(..., "A hub id, a folder, `{init: ARCHITECTURE, …}` or `{run: SPEC}`.")
    reference: Reference | None = field(None, "Derived from the objective where it is left out.")
    adapter: Adapter | None = field(None, "Train an adapter instead of all weights.")
    dtype: Literal["float64", "float32", "bfloat16", "float16"] | None = field(
        None, "Type of the weights; left out: that of the checkpoint."
    )
    attn_implementation: str | None = field(
        None, "Attention of transformers; left out: packed where the architecture takes it."
    )
    revision: str | None = field(None, "Branch, tag or commit of a hub model.")
    trust_remote_code: bool = field(False, "Run code that comes with the model.")


class HeldOutSource(Spec):
    """Held-out rows of a source of their own."""

    source: str = field(..., "File, folder or hub id.", min_length=1)
    split: str = field("train", "Split of the source.")


class HeldOutFraction(Spec):
    """Held-out rows taken out of the training source."""

    fraction: float = field(..., "Share of the rows that is held out.", gt=0, lt=1)


def _held_out_form(value: Any) -> str:
    if isinstance(value, dict):
        return _form(value, "source", "fraction")
    return "(fraction)" if isinstance(value, HeldOutFraction) else "(source)"


HeldOut = Annotated[
    Annotated[HeldOutSource, Tag("(source)")] | Annotated[HeldOutFraction, Tag("(fraction)")],
    Discriminator(_held_out_form),
]


class Rows(Spec):
    """What every kind of data has."""

    source: str = field(..., "JSONL, parquet or CSV file, a folder of them, or a hub id.", min_length=1)
    split: str = field("train", "Split of a hub data set or folder.")
    chat_template: str | None = field(None, "Jinja file in place of the tokenizer's template.")
    max_rows: int | None = field(None, "Take this many rows at the most.", ge=1)
    eval: HeldOut | None = field(None, "Held-out rows: a source of their own, or a fraction.")
    on_bad_row: Literal["error", "quarantine"] = field(
        "error", "Stop at bad rows, or set them aside in `quarantine.jsonl`."
    )
    max_refused: int = field(0, "Bad rows that are allowed.", ge=0)
    max_cut: float = field(0.2, "Share of rows whose completion may be cut.", ge=0, le=1)


class PairwiseColumns(Spec):
    """Where a pair's parts stand; dotted paths reach into objects."""

    prompt: str = field("prompt", "The prompt.")
    chosen: str = field("chosen", "The response that is preferred.")
    rejected: str = field("rejected", "The other response.")
    score_chosen: str = field("score_chosen", "Reward of the preferred response.")
    score_rejected: str = field("score_rejected", "Reward of the other response.")
    margin: str = field("margin", "What the preferred response should be ahead by.")


class DemonstrationColumns(Spec):
    """Where a demonstration's parts stand; dotted paths reach into objects."""

    prompt: str = field("prompt", "The prompt.")
    completion: str = field("completion", "The response that is imitated.")
    messages: str = field("messages", "A conversation, in place of prompt and completion.")


class Pairwise(Rows):
    """Pairs of responses to one prompt, one of them preferred."""

    kind: Literal["pairwise"] = field(..., "Rows of prompt, chosen, rejected.")
    columns: PairwiseColumns = field(PairwiseColumns(), "Names of the columns.")


class Demonstrations(Rows):
    """Responses to imitate."""

    kind: Literal["demonstrations"] = field(..., "Rows of prompt and completion, or messages.")
    columns: DemonstrationColumns = field(DemonstrationColumns(), "Names of the columns.")


class MarkedColumns(Spec):
    """Where a judged response's parts stand; dotted paths reach into objects."""

    prompt: str = field("prompt", "The prompt.")
    completion: str = field("completion", "The response.")
    label: str = field("label", "True where the response is desirable.")
    reward: str = field("reward", "A number: the higher the better.")
    win_rate: str = field("win_rate", "Probability that it beats the policy's own response.")


class ScoredColumns(Spec):
    """Where a group's parts stand; dotted paths reach into objects."""

    prompt: str = field("prompt", "The prompt.")
    completions: str = field("completions", "A list of responses.")
    rewards: str = field("rewards", "A list of their rewards.")
    win_rates: str = field("win_rates", "A list of their win rates.")


class Marked(Rows):
    """Single responses, each with a label, a reward or a win rate."""

    kind: Literal["pointwise"] = field(..., "Rows of prompt, completion and label, reward or win_rate.")
    columns: MarkedColumns = field(MarkedColumns(), "Names of the columns.")


class Scored(Rows):
    """Several responses to a prompt, each with a reward."""

    kind: Literal["scored"] = field(..., "Rows of prompt, completions and rewards.")
    columns: ScoredColumns = field(ScoredColumns(), "Names of the columns.")


Data = Annotated[Pairwise | Demonstrations | Marked | Scored, Field(discriminator="kind")]


class Train(Spec):
    """The optimizer and its schedule, under the names of transformers' TrainingArguments."""

    learning_rate: float = field(5e-5, "Peak learning rate.", ge=0)
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup", "inverse_sqrt"] = (
        field("linear", "How the learning rate falls.")
    )
    warmup_steps: float = field(0, "Steps of warm-up; below 1, their share of all steps.", ge=0)
    per_device_train_batch_size: int = field(8, "Rows a process takes at a time.", unit="row", ge=1)
    per_device_eval_batch_size: int = field(
        8, "Rows a process takes at a time in evaluation.", unit="row", ge=1
    )
    gradient_accumulation_steps: int = field(1, "Micro-batches a step.", ge=1)
    num_train_epochs: float = field(3.0, "Passes over the data.", gt=0)
    max_steps: int = field(-1, "Stop after this many steps; -1: by epochs.", ge=-1)
    max_length: int = field(1024, "Tokens of prompt and completion together.", unit="token", ge=2)
    max_grad_norm: float = field(1.0, "Clip the gradient to this norm; 0: never.", ge=0)
    weight_decay: float = field(0.0, "Decoupled weight decay.", ge=0)
    optim: Literal["adamw_torch_fused", "adamw_torch", "rmsprop", "sgd"] = field(
        "adamw_torch_fused", "The optimizer."
    )
    adam_beta1: float = field(0.9, "Decay of the first moment.", ge=0, lt=1)
    adam_beta2: float = field(0.999, "Decay of the second moment.", ge=0, lt=1)
    adam_epsilon: float = field(1e-8, "Added to the root of the second moment.", gt=0)
    seed: int = field(42, "Seed of weights, order and sampling.", ge=0, le=2**32 - 1)
    bf16: bool | None = field(None, "Compute in bfloat16; left out: where the hardware has it.")
    dropout: bool = field(False, "Keep the model's dropout on.")
    activation_checkpointing: bool = field(False, "Recompute activations to save memory.")
    layout: Literal["auto", "packed", "padded"] = field(
        "auto", "Batches as one packed stream with shared prompts, or padded."
    )
    logging_steps: int = field(1, "Steps between two lines of `metrics.jsonl`.", ge=1)
    eval_steps: int | None = field(None, "Steps between two evaluations; left out: at the end.", ge=1)
    eval_on_start: bool = field(False, "Evaluate before the first step.")
    save_steps: int = field(500, "Steps between two checkpoints.", ge=1)
    save_total_limit: int = field(2, "Checkpoints that are kept.", ge=1)
    report_to: list[Literal["tensorboard", "wandb"]] = field(["tensorboard"], "Where metrics also go.")
    metric_for_best_model: str | None = field(None, "Held-out metric that picks the best checkpoint.")
    greater_is_better: bool | None = field(None, "Whether that metric should rise; left out: by its name.")
    early_stopping_patience: int | None = field(
        None, "Stop after this many evaluations without a better one.", ge=1
    )


class Launch(Spec):
    """How many processes run the job, and what holds them together."""

    engine: Literal["accelerate", "deepspeed"] = field("accelerate", "What distributes the job.")
    num_processes: int = field(1, "Processes, one a device.", ge=1)
    num_machines: int = field(1, "Machines.", ge=1)
    zero_stage: Literal[1, 2, 3] = field(2, "What DeepSpeed shards: optimizer, gradients, weights.")
    offload: Literal["cpu"] | None = field(None, "Where DeepSpeed keeps the optimizer's state.")
    mixed_precision: Literal["no", "bf16", "fp16"] | None = field(None, "Overrides `train.bf16`.")
    timeout: int = field(1800, "Seconds that a process waits for another.", unit="second", ge=1)

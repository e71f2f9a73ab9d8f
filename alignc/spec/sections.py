"""The sections of a spec beside objective and data: model, train, launch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Tag

from alignc.contract.engines import ACCELERATE, EngineName
from alignc.contract.support import limits
from alignc.spec.architectures import InitPolicy, InitPolicyBase
from alignc.spec.base import Spec, field
from alignc.spec.model_source import ModelSource, Name, RunPolicy, form

__all__ = ["Adapter", "Critic", "Launch", "Model", "Reference", "RunPolicy", "Train"]


def _policy_form(value: Any) -> str:
    if isinstance(value, dict):
        return form(value, "init", "run")
    return (
        "(init)" if isinstance(value, InitPolicyBase) else "(run)" if isinstance(value, RunPolicy) else "(id)"
    )


Policy = Annotated[
    Annotated[Name, Tag("(id)")] | Annotated[RunPolicy, Tag("(run)")] | Annotated[InitPolicy, Tag("(init)")],
    Discriminator(_policy_form),
]


class Reference(Spec):
    """Where the reference log-probabilities come from."""

    kind: Literal["initial", "path", "adapter_off", "previous_iterate", "ema", "none"] = field(
        ...,
        "A frozen copy of the initial policy, another model, the policy without its adapter, the policy as it was "
        "when this rollout began, the moving average of its weights, or none. "
        + limits("model.reference.kind"),
    )
    path: ModelSource | None = field(None, "The model of `kind: path`: a hub id, a folder or `{run: SPEC}`.")
    decay: float = field(0.99, "Of `kind: ema`: what of the average a step keeps.", ge=0, lt=1)


class Critic(Spec):
    """What learns the value of a state."""

    kind: Literal["head", "model"] = field("head", "A head on the policy's trunk, or a model of its own.")
    path: ModelSource | None = field(
        None,
        "What `kind: model` starts from; of a reward model its head too. Left out: a copy of the policy.",
    )


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
    critic: Critic | None = field(None, "Where the objective has a value: `kind: head` where it is left out.")
    dtype: Literal["float64", "float32", "bfloat16", "float16"] | None = field(
        None, "Type of the weights; left out: that of the checkpoint."
    )
    attn_implementation: str | None = field(
        None, "Attention of transformers; left out: packed where the architecture takes it."
    )
    revision: str | None = field(None, "Branch, tag or commit of a hub model.")
    trust_remote_code: bool = field(False, "Run code that comes with the model.")


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
    rollout_epochs: int = field(1, "Passes over the responses of a rollout.", ge=1)
    rollout_minibatches: int = field(1, "Optimizer steps that share out a rollout's prompts.", ge=1)
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

    engine: EngineName = field(ACCELERATE.name, "What distributes the job.")
    num_processes: int = field(1, "Processes, one a device.", ge=1)
    num_machines: int = field(1, "Machines.", ge=1)
    zero_stage: Literal[1, 2, 3] = field(
        2, f"What DeepSpeed shards: optimizer, gradients, weights. {limits('launch.zero_stage')}"
    )
    offload: Literal["cpu"] | None = field(None, "Where DeepSpeed keeps the optimizer's state.")
    mixed_precision: Literal["no", "bf16"] | None = field(None, "Overrides `train.bf16`.")
    timeout: int = field(1800, "Seconds that a process waits for another.", unit="second", ge=1)
